// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/apiserver/options"
	"safebeam.dev/safebeam/pkg/apiserver/servertest"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	"safebeam.dev/safebeam/pkg/launcher"
)

// idle is a launcher whose jobs start and do nothing.
type idle struct {
	launched chan string
	stopped  chan string

	mu   sync.Mutex
	jobs []launcher.Job
}

func newIdle() *idle { return &idle{launched: make(chan string, 100), stopped: make(chan string, 100)} }

func (l *idle) Run(ctx context.Context) error             { <-ctx.Done(); return nil }
func (l *idle) Revision(launcher.JobSpec) (string, error) { return "", nil }
func (l *idle) Models() []cache.ObjectName                { return nil }
func (l *idle) Forget(context.Context, string) error      { return nil }
func (l *idle) Notify(func(cache.ObjectName))             {}
func (l *idle) Enclose(context.Context, cache.ObjectName, types.UID) error {
	return nil
}
func (l *idle) List(model cache.ObjectName) []launcher.Job {
	l.mu.Lock()
	defer l.mu.Unlock()
	var jobs []launcher.Job
	for _, j := range l.jobs {
		if j.Spec.Namespace == model.Namespace && j.Spec.Model == model.Name {
			jobs = append(jobs, j)
		}
	}
	return jobs
}

func (l *idle) Launch(_ context.Context, j launcher.Job) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	j.StartTime = time.Now()
	l.jobs = append(l.jobs, j)
	l.launched <- j.Spec.Model
	return nil
}

func (l *idle) Stop(_ context.Context, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.jobs {
		if l.jobs[i].Name == name && !l.jobs[i].Stopping {
			l.jobs[i].Stopping = true
			l.stopped <- l.jobs[i].Spec.Model
		}
	}
	return nil
}

// control runs all controllers until the test ends.
func control(t *testing.T, config *rest.Config, l Launcher) {
	t.Helper()
	controllers, err := New(Options{Client: versioned.NewForConfigOrDie(config), Launcher: l})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- controllers.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func expect(t *testing.T, events <-chan string, want string) {
	t.Helper()
	select {
	case got := <-events:
		if got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	case <-time.After(time.Minute):
		t.Fatalf("nothing happens to %s", want)
	}
}

// until waits for a condition of the API.
func until(t *testing.T, what string, holds func() (bool, error)) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		ok, err := holds()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not come: %v", what, err)
		}
	}
}

func begin(t *testing.T, clients versioned.Interface, model string, ttl *int32) {
	t.Helper()
	ctx, api := t.Context(), clients.TightbeamV1()
	if _, err := api.TightbeamModels("default").Create(ctx, &tightbeamv1.TightbeamModel{
		ObjectMeta: metav1.ObjectMeta{Name: model},
		Spec:       tightbeamv1.TightbeamModelSpec{Provider: tightbeamv1.ProviderEcho, Model: "echo"},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Conversations("default").Create(ctx, &tightbeamv1.Conversation{
		ObjectMeta: metav1.ObjectMeta{Name: "of-" + model},
		Spec:       tightbeamv1.ConversationSpec{Model: model, TTLSecondsAfterLastTurn: ttl},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func ask(t *testing.T, clients versioned.Interface, name, conversation string, ttl *int32) {
	t.Helper()
	text := "hello"
	_, err := clients.TightbeamV1().Turns("default").Create(t.Context(), &tightbeamv1.Turn{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: tightbeamv1.TurnSpec{
			Conversation: conversation, TTLSecondsAfterFinished: ttl,
			Messages: []tightbeamv1.Message{{Role: tightbeamv1.RoleUser, Content: []tightbeamv1.ContentBlock{{Text: &text}}}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func cancelTurn(t *testing.T, clients versioned.Interface, name string) {
	t.Helper()
	err := clients.TightbeamV1().RESTClient().Post().Namespace("default").Resource("turns").Name(name).SubResource("cancel").Do(t.Context()).Error()
	if err != nil {
		t.Fatal(err)
	}
}

func TestControllersOnARealServer(t *testing.T) {
	t.Parallel()
	server := servertest.Start(t, servertest.Settings{})
	clients := server.Clients()
	jobs := newIdle()
	control(t, server.Client, jobs)
	begin(t, clients, "small", nil)
	models := clients.TightbeamV1().TightbeamModels("default")
	turns := clients.TightbeamV1().Turns("default")

	t.Run("a model is ready before its first turn", func(t *testing.T) {
		until(t, "condition Ready", func() (bool, error) {
			model, err := models.Get(t.Context(), "small", metav1.GetOptions{})
			if err != nil {
				return false, err
			}
			ready := meta.FindStatusCondition(model.Status.Conditions, "Ready")
			return ready != nil && ready.Status == metav1.ConditionTrue && ready.ObservedGeneration == model.Generation &&
				model.Status.ObservedGeneration == model.Generation, nil
		})
	})
	t.Run("a queued turn launches a job", func(t *testing.T) {
		ask(t, clients, "kept", "of-small", nil)
		expect(t, jobs.launched, "small")
	})
	t.Run("a finished turn goes when its time is over, another stays", func(t *testing.T) {
		cancelTurn(t, clients, "kept")
		ask(t, clients, "short", "of-small", ptr.To[int32](0))
		cancelTurn(t, clients, "short")
		until(t, "the end of the turn", func() (bool, error) {
			_, err := turns.Get(t.Context(), "short", metav1.GetOptions{})
			return apierrors.IsNotFound(err), err
		})
		if _, err := turns.Get(t.Context(), "kept", metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
	})
	t.Run("a conversation goes after its last turn", func(t *testing.T) {
		begin(t, clients, "brief", ptr.To[int32](1))
		ask(t, clients, "last", "of-brief", nil)
		expect(t, jobs.launched, "brief")
		cancelTurn(t, clients, "last")
		until(t, "the end of the conversation", func() (bool, error) {
			_, err := clients.TightbeamV1().Conversations("default").Get(t.Context(), "of-brief", metav1.GetOptions{})
			return apierrors.IsNotFound(err), err
		})
	})
	t.Run("a deleted model loses its jobs", func(t *testing.T) {
		if err := models.Delete(t.Context(), "brief", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		expect(t, jobs.stopped, "brief")
	})
}

func TestControllersSurviveARestartOfTheServer(t *testing.T) {
	t.Parallel()
	var token string
	settings := servertest.Settings{DataDir: t.TempDir(), Options: func(o *options.Options) {
		if token == "" {
			token = o.Standalone.AdminToken
		}
		o.Standalone.AdminToken = token
	}}
	first := servertest.Start(t, settings)
	front := newFront(t)
	front.lead(first)
	config := rest.CopyConfig(first.Client)
	config.Host = "https://" + front.listener.Addr().String()
	jobs := newIdle()
	control(t, config, jobs)
	begin(t, first.Clients(), "small", nil)
	ask(t, first.Clients(), "a", "of-small", nil)
	expect(t, jobs.launched, "small")
	first.Stop()

	second := servertest.Start(t, settings)
	front.lead(second)
	begin(t, second.Clients(), "other", nil)
	ask(t, second.Clients(), "b", "of-other", nil)
	expect(t, jobs.launched, "other")
	if len(jobs.launched)+len(jobs.stopped) != 0 {
		t.Errorf("%d more launches and %d stops after the restart", len(jobs.launched), len(jobs.stopped))
	}
}

// front is an address that leads to one server after another.
type front struct {
	listener net.Listener
	mu       sync.Mutex
	backend  string
}

func newFront(t *testing.T) *front {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{listener: listener}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go f.pass(conn)
		}
	}()
	return f
}

func (f *front) lead(server *servertest.Server) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.backend = strings.TrimPrefix(server.Client.Host, "https://")
}

func (f *front) pass(conn net.Conn) {
	defer conn.Close()
	f.mu.Lock()
	address := f.backend
	f.mu.Unlock()
	backend, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer backend.Close()
	go func() {
		_, _ = io.Copy(backend, conn)
		backend.Close()
	}()
	_, _ = io.Copy(conn, backend)
}
