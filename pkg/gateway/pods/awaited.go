// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package pods

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Patience is how long a pod waits until the controller has said whose it is. The
// controller does as soon as it knows the pod, so that it mostly has before the
// container has started.
const Patience = 10 * time.Second

// Awaited are the pods that have called before anything was said of them. It is
// safe for concurrent use. A pod leaves with its last waiter.
type Awaited struct {
	mu   sync.Mutex
	pods map[types.UID]*waiters
}

type waiters struct {
	count int
	there chan struct{}
}

// Wait returns what is closed by a Tell of the pod that comes after this call.
// leave must be called once.
func (a *Awaited) Wait(pod types.UID) (there <-chan struct{}, leave func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := a.pods[pod]
	if w == nil {
		if a.pods == nil {
			a.pods = map[types.UID]*waiters{}
		}
		w = &waiters{there: make(chan struct{})}
		a.pods[pod] = w
	}
	w.count++
	return w.there, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if w.count--; w.count == 0 && a.pods[pod] == w {
			delete(a.pods, pod)
		}
	}
}

// Tell wakes those who wait for the pod.
func (a *Awaited) Tell(pod types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w := a.pods[pod]; w != nil {
		close(w.there)
		delete(a.pods, pod)
	}
}

// Len is the number of pods that are waited for.
func (a *Awaited) Len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.pods)
}
