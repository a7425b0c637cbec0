// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/storage"
)

// patient is a store for tests that give each event of a watch 150 ms, which a busy
// machine does not keep: whoever asks for the channel of a watch waits until what was
// created since it began has come.
type patient struct {
	storage.Interface
	mu   sync.Mutex
	last map[string]uint64 // the last revision created below a prefix
}

func newPatient(store storage.Interface) *patient {
	return &patient{Interface: store, last: map[string]uint64{}}
}

func (p *patient) Create(ctx context.Context, key string, obj, out k8sruntime.Object, ttl uint64) error {
	if err := p.Interface.Create(ctx, key, obj, out, ttl); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last[path.Dir(key)] = revisionOf(out)
	return nil
}

func (p *patient) created(prefix string) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last[path.Clean(prefix)]
}

func (p *patient) Watch(ctx context.Context, key string, options storage.ListOptions) (watch.Interface, error) {
	before := p.created(key)
	inner, err := p.Interface.Watch(ctx, key, options)
	if err != nil {
		return nil, err
	}
	w := &patientWatch{Interface: inner, events: make(chan watch.Event, 100), due: func() uint64 {
		if last := p.created(key); last != before {
			return last
		}
		return 0
	}}
	go w.take()
	return w, nil
}

type patientWatch struct {
	watch.Interface
	events chan watch.Event
	due    func() uint64 // the revision that has to come
	mu     sync.Mutex
	come   uint64
	over   bool
}

func (w *patientWatch) take() {
	for event := range w.Interface.ResultChan() {
		w.events <- event
		if event.Type != watch.Bookmark {
			w.mu.Lock()
			w.come = max(w.come, revisionOf(event.Object))
			w.mu.Unlock()
		}
	}
	w.mu.Lock()
	w.over = true
	w.mu.Unlock()
	close(w.events)
}

func (w *patientWatch) complete() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.over || w.come >= w.due()
}

func (w *patientWatch) ResultChan() <-chan watch.Event {
	for deadline := time.Now().Add(wait.ForeverTestTimeout); !w.complete() && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	return w.events
}

// revisionOf is 0 for what has none.
func revisionOf(obj k8sruntime.Object) uint64 {
	if cacheable, ok := obj.(k8sruntime.CacheableObject); ok {
		obj = cacheable.GetObject()
	}
	if recorded, ok := obj.(storage.WatchEventWithRecordTime); ok {
		obj = recorded.Unwrap()
	}
	accessor, err := meta.Accessor(obj)
	if err != nil {
		return 0
	}
	revision, _ := strconv.ParseUint(accessor.GetResourceVersion(), 10, 64)
	return revision
}

// awaitDecoders returns when no watch is decoding any more: a cache that was stopped
// does not wait for what its watch had in hand.
func awaitDecoders(t *testing.T) {
	t.Helper()
	stacks := make([]byte, 16<<20)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if !strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "etcd3.decodeObj(") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("a watch goes on decoding")
		}
	}
}
