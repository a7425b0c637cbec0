// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/apiserver/servertest"
	"safebeam.dev/safebeam/pkg/controller/sandbox"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	informers "safebeam.dev/safebeam/pkg/generated/informers/externalversions/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/launcher"
	"safebeam.dev/safebeam/pkg/launcher/bubblewrap"
	"safebeam.dev/safebeam/pkg/launcher/localsandbox"
)

// These pods outlive the controller, as those of a cluster do.
type machine struct {
	mu      sync.Mutex
	started int
}

type process struct{ done chan struct{} }

func (p process) Done() <-chan struct{} { return p.done }
func (process) Err() error              { return nil }
func (process) Limits() []string        { return []string{"cpu", "memory", "pids"} }

func (m *machine) Start(ctx context.Context, _ bubblewrap.Spec) (localsandbox.Process, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.started++
	p := process{make(chan struct{})}
	context.AfterFunc(ctx, func() { close(p.done) })
	return p, nil
}

func (m *machine) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.started
}

type tokens struct{}

func (tokens) Issue(types.UID) (string, func()) { return "token", func() {} }

var errDead = errors.New("this controller is dead")

// death comes to a controller at the first step of a name, which has its effect or
// has not; then the controller takes no further one. What counts is what others
// see of it.
type death struct {
	at    string
	after bool
	died  chan struct{}

	mu    sync.Mutex
	dead  bool
	steps []string // one after the other, that of its death included
}

func diesAt(step string, after bool) *death {
	return &death{at: step, after: after, died: make(chan struct{})}
}

func immortal() *death { return diesAt("nothing", false) }

func (d *death) step(name string, do func() error) error {
	d.mu.Lock()
	if d.dead {
		d.mu.Unlock()
		return errDead
	}
	d.steps = append(d.steps, name)
	if d.at != name {
		d.mu.Unlock()
		return do()
	}
	d.dead = true
	d.mu.Unlock()
	defer close(d.died)
	if d.after {
		_ = do()
	}
	return errDead
}

// mortal is a launcher as a controller that may die has it.
type mortal struct {
	launcher.SandboxLauncher
	death *death
}

func (m mortal) Launch(ctx context.Context, spec launcher.PodSpec) (pod launcher.Pod, err error) {
	err = m.death.step("Launch", func() error { pod, err = m.SandboxLauncher.Launch(ctx, spec); return err })
	return pod, err
}

func (m mortal) Delete(ctx context.Context, namespace, name string, uid types.UID) error {
	return m.death.step("Delete", func() error { return m.SandboxLauncher.Delete(ctx, namespace, name, uid) })
}

func (m mortal) Release(ctx context.Context, owner launcher.Owner) error {
	return m.death.step("Release", func() error { return m.SandboxLauncher.Release(ctx, owner) })
}

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// nameOf is what a request does to which part of a sandbox, such as PUT status.
func nameOf(r *http.Request) string {
	_, sandbox, _ := strings.Cut(r.URL.Path, "/sandboxes/")
	name := r.Method
	if parts := strings.Split(sandbox, "/"); len(parts) > 1 {
		name += " " + parts[1]
	}
	return name
}

type world struct {
	t        *testing.T
	server   *servertest.Server
	client   versioned.Interface
	launcher *localsandbox.Launcher
	machine  *machine
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, server: servertest.Start(t, servertest.Settings{}), machine: &machine{}}
	w.client = w.server.Clients()
	w.launcher = localsandbox.New(localsandbox.Options{Machine: w.machine, Tokens: tokens{}, Node: "node"})
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = w.launcher.Run(ctx) }()
	t.Cleanup(func() { end(); <-ended })
	if _, err := w.client.LlmsafespaceV1().RuntimeEnvironments().Create(t.Context(), &llmsafespacev1.RuntimeEnvironment{
		ObjectMeta: metav1.ObjectMeta{Name: "python"}, Spec: llmsafespacev1.RuntimeEnvironmentSpec{Image: "image:1", Language: "python", Version: "3.11"},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return w
}

// control runs a controller until it dies or stop is called.
func (w *world) control(d *death) (stop func()) {
	w.t.Helper()
	config := rest.CopyConfig(w.server.Client)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return transport(func(r *http.Request) (response *http.Response, err error) {
			if r.Method == http.MethodGet {
				return next.RoundTrip(r)
			}
			err = d.step(nameOf(r), func() error {
				response, err = next.RoundTrip(r)
				return err
			})
			if err != nil && response != nil {
				response.Body.Close()
				response = nil
			}
			return response, err
		})
	})
	client, err := versioned.NewForConfig(config)
	if err != nil {
		w.t.Fatal(err)
	}
	boxes := informers.NewSandboxInformer(client, metav1.NamespaceAll, 0, cache.Indexers{})
	environments := informers.NewRuntimeEnvironmentInformer(client, 0, cache.Indexers{})
	c, err := sandbox.New(sandbox.Options{
		Client: client, Sandboxes: boxes, Environments: environments, Launcher: mortal{w.launcher, d}, Bindings: sandbox.NewBindings(client),
		Clock: clock.RealClock{}, LostReason: "Lost", LostMessage: "lost",
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { boxes.RunWithContext(ctx) })
	running.Go(func() { environments.RunWithContext(ctx) })
	running.Go(func() {
		if err := c.Run(ctx); err != nil {
			w.t.Errorf("controller: %v", err)
		}
	})
	return func() { cancel(); running.Wait() }
}

func (w *world) create(name string) {
	w.t.Helper()
	if _, err := w.client.LlmsafespaceV1().Sandboxes("ns").Create(w.t.Context(), &llmsafespacev1.Sandbox{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: llmsafespacev1.SandboxSpec{Runtime: "python:3.11"},
	}, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) delete(name string) {
	w.t.Helper()
	if err := w.client.LlmsafespaceV1().Sandboxes("ns").Delete(w.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// until waits until something is true of a sandbox, which is nil once it is gone.
func (w *world) until(name, what string, is func(*llmsafespacev1.Sandbox) bool) {
	w.t.Helper()
	var last *llmsafespacev1.Sandbox
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		found, err := w.client.LlmsafespaceV1().Sandboxes("ns").Get(context.Background(), name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			found = nil
		} else if err != nil {
			w.t.Fatal(err)
		}
		if last = found; is(found) {
			return
		}
	}
	w.t.Fatalf("sandbox %s is not %s: %+v", name, what, last)
}

// dies waits until a controller is dead.
func (w *world) dies(d *death) {
	w.t.Helper()
	select {
	case <-d.died:
	case <-time.After(30 * time.Second):
		d.mu.Lock()
		defer d.mu.Unlock()
		w.t.Fatalf("nobody died at %s, but did %v", d.at, d.steps)
	}
}

func inPhase(phase llmsafespacev1.SandboxPhase) func(*llmsafespacev1.Sandbox) bool {
	return func(s *llmsafespacev1.Sandbox) bool { return s != nil && s.Status.Phase == phase }
}

func gone(s *llmsafespacev1.Sandbox) bool { return s == nil }

// What a controller does to make a sandbox and to remove it, and others see.
var (
	making   = []string{"Launch", "PUT pods", "PUT status"}
	removing = []string{"Delete", "DELETE pods", "PUT status", "Release", "PATCH"}
)

// The lists are whole, whatever is done twice on the way.
func TestAControllerTakesTheKnownSteps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, part := range []struct {
		begin func(name string)
		until string
		is    func(*llmsafespacev1.Sandbox) bool
		want  []string
	}{
		{w.create, "Creating", inPhase(llmsafespacev1.SandboxCreating), making},
		{w.delete, "gone", gone, removing},
	} {
		whole := immortal()
		part.begin("whole")
		stop := w.control(whole)
		w.until("whole", part.until, part.is)
		stop()
		var got []string
		for _, step := range whole.steps {
			if !slices.Contains(got, step) {
				got = append(got, step)
			}
		}
		if !slices.Equal(got, part.want) {
			t.Errorf("until it is %s: %v, want %v", part.until, got, part.want)
		}
	}
}

// The law of this package, at each of its steps, before and after it: whoever
// takes over leaves one sandbox with one pod, and nothing once it is deleted.
func TestAControllerMayDieBeforeAndAfterEachOfItsSteps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	creating := inPhase(llmsafespacev1.SandboxCreating)
	for _, after := range []bool{false, true} {
		for i, step := range making {
			name := fmt.Sprintf("making-%d-%v", i, after)
			before := w.machine.count()
			d := diesAt(step, after)
			w.create(name)
			stop := w.control(d)
			w.dies(d)
			stop()
			stop = w.control(immortal())
			w.until(name, "Creating", creating)
			var pods []launcher.Pod
			for _, pod := range w.launcher.Pods() {
				if pod.Owner.Name == name {
					pods = append(pods, pod)
				}
			}
			if started := w.machine.count() - before; len(pods) != 1 || started != 1 {
				t.Errorf("%s: pods %+v, %d were started", name, pods, started)
			}
			w.delete(name)
			w.until(name, "gone", gone)
			stop()
		}
		for i, step := range removing {
			name := fmt.Sprintf("removing-%d-%v", i, after)
			stop := w.control(immortal())
			w.create(name)
			w.until(name, "Creating", creating)
			stop()
			d := diesAt(step, after)
			w.delete(name)
			stop = w.control(d)
			w.dies(d)
			stop()
			stop = w.control(immortal())
			w.until(name, "gone", gone)
			stop()
		}
	}
	if pods := w.launcher.Pods(); len(pods) != 0 {
		t.Errorf("left over: %+v", pods)
	}
}

func TestAPodThatNobodyOwnsIsDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.launcher.Launch(t.Context(), launcher.PodSpec{
		Name: "orphan-1", Namespace: "ns", Owner: launcher.Owner{Kind: launcher.OwnerSandbox, Namespace: "ns", Name: "orphan", UID: "no-such-uid"},
	}); err != nil {
		t.Fatal(err)
	}
	defer w.control(immortal())()
	for deadline := time.Now().Add(30 * time.Second); len(w.launcher.Pods()) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it stays: %+v", w.launcher.Pods())
		}
	}
}

func TestASecondPodIsNeverBound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// A controller dies when its pod is bound and nobody knows; then the pod goes.
	d := diesAt("PUT pods", true)
	stop := w.control(d)
	w.create("twice")
	<-d.died
	stop()
	pods := w.launcher.Pods()
	if len(pods) != 1 {
		t.Fatalf("%+v", pods)
	}
	if err := w.launcher.Delete(t.Context(), pods[0].Namespace, pods[0].Name, pods[0].UID); err != nil {
		t.Fatal(err)
	}
	for len(w.launcher.Pods()) > 0 {
		time.Sleep(time.Millisecond)
	}
	defer w.control(immortal())()
	w.until("twice", "Failed", inPhase(llmsafespacev1.SandboxFailed))
	for deadline := time.Now().Add(30 * time.Second); slices.ContainsFunc(w.launcher.Pods(), func(p launcher.Pod) bool { return p.Phase != launcher.PodStopping }); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("its second pod stays: %+v", w.launcher.Pods())
		}
	}
}
