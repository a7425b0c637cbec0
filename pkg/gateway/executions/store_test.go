// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package executions

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/etcd3"
	"k8s.io/apiserver/pkg/storage/value/encrypt/identity"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/events"
	"safebeam.dev/safebeam/pkg/gateway/statuses/statusestest"
	"safebeam.dev/safebeam/pkg/journal"
	"safebeam.dev/safebeam/pkg/storage/bbolt"
)

// longest bounds every wait of a test. It is reached in failures only.
const longest = 2 * time.Minute

// stored is a store of executions.
type stored struct {
	db  *bbolt.DB
	raw storage.Interface
}

func openStored(t *testing.T, o bbolt.Options) stored {
	t.Helper()
	quiet := logr.Discard()
	o.Dir, o.SegmentBytes, o.CheckpointInterval, o.Logger = t.TempDir(), 512<<10, time.Hour, &quiet
	db, err := bbolt.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	scheme := runtime.NewScheme()
	if err := v1.Install(scheme); err != nil {
		t.Fatal(err)
	}
	codecs := serializer.NewCodecFactory(scheme)
	info, _ := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), runtime.ContentTypeJSON)
	codec := codecs.CodecForVersions(info.Serializer, info.Serializer, v1.SchemeGroupVersion, v1.SchemeGroupVersion)
	versioner := storage.APIObjectVersioner{}
	raw, err := etcd3.New(db.Client(), db, codec, func() runtime.Object { return &v1.Execution{} }, func() runtime.Object { return &v1.ExecutionList{} },
		"/registry", "/executions", v1.Resource("executions"), identity.NewEncryptCheckTransformer(),
		etcd3.NewDefaultLeaseManagerConfig(), etcd3.NewDefaultDecoder(codec, versioner), versioner)
	if err != nil {
		t.Fatal(err)
	}
	return stored{db, raw}
}

// run runs a runner until the test ends.
func run(t *testing.T, r *Runner) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(longest); !is(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func queued(name string) *v1.Execution {
	return &v1.Execution{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: uuid.NewUUID()},
		Spec:       v1.ExecutionSpec{Sandbox: "box", Command: []string{"true"}},
		Status:     v1.ExecutionStatus{Phase: v1.ExecutionQueued, SandboxUID: "box"},
	}
}

// A server that reads what somebody wrote does not end, and what it read does.
func TestExecutionsThatSomebodyWroteEndAfterARestart(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*v1.Execution){
		"running in no sandbox":         func(e *v1.Execution) { e.Status = v1.ExecutionStatus{Phase: v1.ExecutionRunning} },
		"running in an unknown sandbox": func(e *v1.Execution) { e.Status.Phase, e.Status.SandboxUID = v1.ExecutionRunning, "another" },
		"running since never":           func(e *v1.Execution) { e.Status.Phase = v1.ExecutionRunning },
		"without a status":              func(e *v1.Execution) { e.Status = v1.ExecutionStatus{} },
		"of an unknown phase":           func(e *v1.Execution) { e.Status.Phase = "Dreaming" },
		"of a time that is none":        func(e *v1.Execution) { e.Spec.TimeoutSeconds = ptr.To[int32](-1) },
		"of no command":                 func(e *v1.Execution) { e.Status.Phase, e.Spec.Command = v1.ExecutionRunning, nil },
		"with an end before its end":    func(e *v1.Execution) { e.Status.LastEvent, e.Status.CompletionTime = 1<<62, &metav1.MicroTime{} },
	} {
		for output, records := range map[string][]journal.Record{
			"no output":      nil,
			"illegible":      {{Number: 1, Data: []byte("{\n")}},
			"no events":      {{Number: 1, Data: []byte(`{"number":1,"stream":7}` + "\n")}},
			"less than none": {{Number: 2, Data: []byte(`{"number":2,"type":"Truncated","stream":"stderr","omitted":-5}` + "\n")}},
		} {
			t.Run(name+", "+output, func(t *testing.T) {
				t.Parallel()
				s := openStored(t, bbolt.Options{})
				object := queued("one")
				change(object)
				if err := s.raw.Create(t.Context(), "/executions/ns/one", object, nil, 0); err != nil {
					t.Fatal(err)
				}
				for _, record := range records {
					record.Owner = outputOwner(object.UID)
					if err := s.db.Journal().Append(t.Context(), record); err != nil {
						t.Fatal(err)
					}
				}
				box := &v1.Sandbox{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "box", UID: "box"}, Status: v1.SandboxStatus{Phase: v1.SandboxRunning}}
				r := New(Options{Live: oneSandbox{noConnection{box}}, Journal: s.db.Journal()})
				r.Wrap(s.raw, "/executions")
				if err := r.Recover(t.Context()); err != nil {
					t.Fatalf("no server starts any more: %v", err)
				}
				run(t, r)
				eventually(t, "it ends", func() bool {
					ended, err := r.store.Get(t.Context(), "ns", "one")
					return err == nil && ended.Status.Phase.Terminal() && r.find(object.UID) == nil
				})
			})
		}
	}
}

// oneSandbox knows no other one.
type oneSandbox struct{ noConnection }

func (l oneSandbox) Get(uid types.UID) *v1.Sandbox {
	if uid != l.sandbox.UID {
		return nil
	}
	return l.sandbox
}

// A write that failed may have been made, or be made later: every execution that is
// there ends, once.
func TestExecutionsEndOnceWhateverBecomesOfWritesThatFailed(t *testing.T) {
	t.Parallel()
	s := openStored(t, bbolt.Options{})
	box := &v1.Sandbox{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "box", UID: "box"}, Status: v1.SandboxStatus{Phase: v1.SandboxRunning}}
	passing := clocktesting.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	r := New(Options{Live: noConnection{box}, Journal: s.db.Journal(), Clock: apart{passing}, MaxParallel: 2})
	network := statusestest.Unsure(t, statusestest.Behind(s.raw))
	executions := r.Wrap(network, "/executions")
	if err := r.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, r)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				network.Landed()
				passing.Step(time.Second)
			}
		}
	}()
	defer func() { close(stop); <-stopped }()

	for i := range 40 {
		name := fmt.Sprintf("execution-%d", i)
		key := "/executions/ns/" + name
		for { // until it is there
			err := executions.Create(t.Context(), key, queued(name), &v1.Execution{}, 0)
			if err == nil || storage.IsExist(err) {
				break
			}
		}
		if i%5 == 4 {
			eventually(t, "an execution is deleted", func() bool {
				_ = executions.Delete(t.Context(), key, &v1.Execution{}, nil, storage.ValidateAllObjectFunc, nil, storage.DeleteOptions{})
				left, err := r.store.Get(t.Context(), "ns", name)
				return err == nil && left == nil
			})
		}
	}
	eventually(t, "every execution ends", func() bool {
		open, err := r.store.List(t.Context(), func(e *v1.Execution) bool { return !e.Status.Phase.Terminal() })
		return err == nil && len(open) == 0
	})
	eventually(t, "nothing is left of them", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.executions) == 0 && len(r.queues) == 0
	})
	all, err := r.store.List(t.Context(), func(*v1.Execution) bool { return true })
	if err != nil || len(all) < 32 {
		t.Fatalf("%d executions are there, and 32 were made and not deleted: %v", len(all), err)
	}
	for _, object := range all {
		if object.Status.Reason != reasonUnreachable {
			t.Errorf("%s is %s: %s: %s", object.Name, object.Status.Phase, object.Status.Reason, object.Status.Message)
		}
		reader, err := r.Open(t.Context(), object, 0, true, "")
		if err != nil {
			t.Errorf("%s: %v", object.Name, err)
			continue
		}
		records, err := reader.Next(t.Context())
		if err != nil || len(records) != 1 || records[0].Number != object.Status.LastEvent {
			t.Errorf("%s has %v to say, %v", object.Name, records, err)
		}
	}
}

// apart fires in goroutines of their own, as the real clock does.
type apart struct{ *clocktesting.FakeClock }

func (c apart) AfterFunc(d time.Duration, f func()) clock.Timer {
	if d <= 0 {
		go f()
	}
	return c.FakeClock.AfterFunc(d, func() {
		if d > 0 {
			go f()
		}
	})
}

// An end that could not be read back is no deletion: what it said stays.
func TestAnExecutionThatSomebodyEndedKeepsItsOutput(t *testing.T) {
	t.Parallel()
	s := openStored(t, bbolt.Options{})
	box := &v1.Sandbox{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "box", UID: "box"}, Status: v1.SandboxStatus{Phase: v1.SandboxRunning}}
	r := New(Options{Live: noConnection{box}, Journal: s.db.Journal()})
	deaf := &deaf{Interface: s.raw, fails: 3}
	r.Wrap(deaf, "/executions")
	object, out := queued("one"), &v1.Execution{}
	object.Status.Phase = v1.ExecutionRunning
	if err := s.raw.Create(t.Context(), "/executions/ns/one", object, out, 0); err != nil {
		t.Fatal(err)
	}
	e := r.newExecution(out, time.Time{})
	r.executions[e.uid], r.queueOf("box").unfinished = e, 1
	said := outputEvent(1, e.now(), v1.Stdout, []byte("hello"))
	if err := r.Journal.Append(t.Context(), events.Records(outputOwner(e.uid), []events.Event{said})...); err != nil {
		t.Fatal(err)
	}
	e.hub = events.NewHub(1)
	if _, err := r.update(t.Context(), out, func(status *v1.ExecutionStatus) {
		status.Phase, status.LastEvent = v1.ExecutionCancelled, 2
	}); err != nil {
		t.Fatal(err)
	}
	e.vanished(false)
	if last, err := r.Journal.Last(t.Context(), outputOwner(e.uid)); err != nil || last != 1 {
		t.Errorf("the journal has its output up to %d, %v", last, err)
	}
	if phase := e.current().Status.Phase; phase != v1.ExecutionCancelled {
		t.Errorf("it is %s", phase)
	}
}

// deaf fails reads.
type deaf struct {
	storage.Interface
	fails int
}

func (d *deaf) Get(ctx context.Context, key string, options storage.GetOptions, out runtime.Object) error {
	if d.fails--; d.fails >= 0 {
		return context.DeadlineExceeded
	}
	return d.Interface.Get(ctx, key, options, out)
}
