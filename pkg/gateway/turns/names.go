// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"k8s.io/apimachinery/pkg/types"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// Created returns a channel that is closed when a turn of that name, created
// from now on, is taken up: stored, so that Unfinished or a read of the store
// finds it. leave must be called by who waits no longer.
func (b *Broker) Created(namespace, name string) (created <-chan struct{}, leave func()) {
	return b.awaited.Wait(types.NamespacedName{Namespace: namespace, Name: name})
}

// name gives a turn that is taken up its name, and tells who waits for it. The
// caller holds Broker.mu.
func (b *Broker) name(t *turn) {
	key := types.NamespacedName{Namespace: t.namespace, Name: t.name}
	b.named[key] = t
	b.awaited.Tell(key)
}

// unname takes the name from a turn that has ended or was deleted. The caller
// holds Broker.mu.
func (b *Broker) unname(t *turn) {
	key := types.NamespacedName{Namespace: t.namespace, Name: t.name}
	if b.named[key] == t {
		delete(b.named, key)
	}
}

// Unfinished returns the turn of that name as it is in memory; nil if there is
// none, or if it is not known to be unfinished. It is never another one than a
// read of the store would find: creates and deletions pass here before they are
// answered.
func (b *Broker) Unfinished(namespace, name string) *tightbeamv1.Turn {
	b.mu.Lock()
	t := b.named[types.NamespacedName{Namespace: namespace, Name: name}]
	b.mu.Unlock()
	if t == nil {
		return nil
	}
	return t.current()
}
