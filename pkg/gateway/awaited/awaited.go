// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package awaited has those who come before what they come for: pods that call
// before the controller has said whose they are, readers of a turn that is being
// created.
//
// Laws:
//   - Who waits first and looks then misses nothing, if who tells has written first.
//   - What nobody waits for takes no memory.
package awaited

import "sync"

// Names are what is waited for. It is safe for concurrent use. A name leaves with
// its last waiter.
type Names[K comparable] struct {
	mu    sync.Mutex
	names map[K]*waiters
}

type waiters struct {
	count int
	there chan struct{}
}

// Wait returns what is closed by a Tell of the name that comes after this call.
// leave must be called once.
func (n *Names[K]) Wait(name K) (there <-chan struct{}, leave func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.names[name]
	if w == nil {
		if n.names == nil {
			n.names = map[K]*waiters{}
		}
		w = &waiters{there: make(chan struct{})}
		n.names[name] = w
	}
	w.count++
	return w.there, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if w.count--; w.count == 0 && n.names[name] == w {
			delete(n.names, name)
		}
	}
}

// Tell wakes those who wait for the name.
func (n *Names[K]) Tell(name K) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if w := n.names[name]; w != nil {
		close(w.there)
		delete(n.names, name)
	}
}

// Len is the number of names that are waited for.
func (n *Names[K]) Len() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.names)
}
