// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package live

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
	"safebeam.dev/safebeam/pkg/gateway/bindings"
	"safebeam.dev/safebeam/pkg/gateway/statuses/statusestest"
	"safebeam.dev/safebeam/pkg/storage/bbolt"
)

// noBindings knows nobody's pod.
type noBindings struct{}

func (noBindings) ByPod(types.UID) (bindings.Binding, bool)   { return bindings.Binding{}, false }
func (noBindings) ByOwner(types.UID) (bindings.Binding, bool) { return bindings.Binding{}, false }

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

func openStore(t *testing.T) storage.Interface {
	t.Helper()
	quiet := logr.Discard()
	db, err := bbolt.Open(bbolt.Options{Dir: t.TempDir(), SegmentBytes: 512 << 10, CheckpointInterval: time.Hour, Logger: &quiet})
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
	s, err := etcd3.New(db.Client(), db, codec, func() runtime.Object { return &v1.Sandbox{} }, func() runtime.Object { return &v1.SandboxList{} },
		"/registry", "/sandboxes", v1.Resource("sandboxes"), identity.NewEncryptCheckTransformer(),
		etcd3.NewDefaultLeaseManagerConfig(), etcd3.NewDefaultDecoder(codec, versioner), versioner)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// begun is Live on a storage, recovered and run until the test ends.
func begun(t *testing.T, inner storage.Interface) (*Live, storage.Interface, *clocktesting.FakeClock) {
	t.Helper()
	passing := clocktesting.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	l := New(Options{Bindings: noBindings{}, Clock: apart{passing}})
	watched := l.Wrap(inner, "/sandboxes")
	if err := l.Recover(t.Context()); err != nil {
		t.Fatalf("no server starts any more: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = l.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return l, watched, passing
}

// timePasses has minutes pass in a second, until the test ends.
func timePasses(t *testing.T, passing *clocktesting.FakeClock, landed func()) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				landed()
				passing.Step(10 * time.Second)
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-stopped })
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !is(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func running(name string, since time.Time) *v1.Sandbox {
	begin := metav1.NewTime(since)
	box := &v1.Sandbox{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: uuid.NewUUID()}}
	box.Spec.Timeout = ptr.To[int32](300)
	box.Status = v1.SandboxStatus{Phase: v1.SandboxRunning, StartTime: &begin, ExpiresAt: &metav1.Time{Time: begin.Add(5 * time.Minute)}}
	return box
}

// What was written is known, whatever the writer was told: a sandbox that nobody
// knows of would never end.
func TestSandboxesAreKnownWhateverBecomesOfWritesThatFailed(t *testing.T) {
	t.Parallel()
	inner := openStore(t)
	network := statusestest.Unsure(t, statusestest.Behind(inner))
	l, boxes, passing := begun(t, network)
	write := func(name string, change func(*v1.Sandbox)) error {
		return boxes.GuaranteedUpdate(t.Context(), "/sandboxes/ns/"+name, &v1.Sandbox{}, false, nil,
			func(input runtime.Object, _ storage.ResponseMeta) (runtime.Object, *uint64, error) {
				box := input.(*v1.Sandbox)
				change(box)
				return box, nil, nil
			}, nil)
	}
	for i := range 30 {
		name := fmt.Sprintf("box-%d", i)
		key := "/sandboxes/ns/" + name
		for { // until it is there
			err := boxes.Create(t.Context(), key, running(name, passing.Now()), &v1.Sandbox{}, 0)
			if err == nil || storage.IsExist(err) {
				break
			}
		}
		// Nobody repeats what was refused. It may have been made.
		switch i % 3 {
		case 0:
			_ = boxes.Delete(t.Context(), key, &v1.Sandbox{}, nil, storage.ValidateAllObjectFunc, nil, storage.DeleteOptions{})
		case 1:
			_ = write(name, func(box *v1.Sandbox) { box.Status.Phase = v1.SandboxFailed })
		case 2:
			_ = write(name, func(box *v1.Sandbox) { box.Spec.Timeout = ptr.To[int32](1000) })
		}
	}
	timePasses(t, passing, network.Landed)
	eventually(t, "all time is over", func() bool {
		open, err := l.store.List(t.Context(), func(box *v1.Sandbox) bool { return !over(box) })
		return err == nil && len(open) == 0
	})
	eventually(t, "what is known is what is stored", func() bool {
		all, err := l.store.List(t.Context(), func(*v1.Sandbox) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		for _, box := range all {
			if known := l.Get(box.UID); known == nil || known.ResourceVersion != box.ResourceVersion || l.Find("ns", box.Name) != known {
				return false
			}
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.sandboxes) == len(all) && len(l.names) == len(all)
	})
}

// A server that reads what somebody wrote does not end, and what it read does not
// keep it from making others Running.
func TestSandboxesThatSomebodyWroteAreRecovered(t *testing.T) {
	t.Parallel()
	inner := openStore(t)
	for i, change := range []func(*v1.Sandbox){
		func(box *v1.Sandbox) { box.Status.StartTime = nil },
		func(box *v1.Sandbox) { box.Status.ExpiresAt = nil },
		func(box *v1.Sandbox) { box.Status = v1.SandboxStatus{} },
		func(box *v1.Sandbox) { box.Status = v1.SandboxStatus{Phase: v1.SandboxTerminating} },
		func(box *v1.Sandbox) { box.Status = v1.SandboxStatus{Phase: "Dreaming"} },
		func(box *v1.Sandbox) { box.UID = "" },
		func(box *v1.Sandbox) { box.UID = "twice" },
		func(box *v1.Sandbox) { box.UID = "twice" },
		func(box *v1.Sandbox) { box.Spec.Timeout, box.Spec.IdleTimeout = ptr.To[int32](-1), ptr.To[int32](-1) },
		func(box *v1.Sandbox) { box.Spec.IdleTimeout = ptr.To[int32](1) },
		func(box *v1.Sandbox) {
			box.Status.StartTime = &metav1.Time{Time: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}
		},
	} {
		box := running(fmt.Sprintf("box-%d", i), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
		change(box)
		if err := inner.Create(t.Context(), "/sandboxes/ns/"+box.Name, box, nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	l, boxes, passing := begun(t, inner)
	timePasses(t, passing, func() {})
	fresh := &v1.Sandbox{}
	if err := boxes.Create(t.Context(), "/sandboxes/ns/fresh", running("fresh", passing.Now()), fresh, 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another one's time is over", func() bool { return over(l.Get(fresh.UID)) })
}
