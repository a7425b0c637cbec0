// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import "testing"

func TestWhoWaitsForATurnIsToldWhenItIsThereToBeRead(t *testing.T) {
	t.Parallel()
	for _, jobWaits := range []bool{false, true} { // it is queued, it begins at once
		w := newWorld(t, fast)
		name := "one"
		ns := turnNamed("c", name).Namespace
		if jobWaits {
			pulled := make(chan struct{})
			go func() { w.pull("echo"); close(pulled) }()
			defer func() { <-pulled }()
			w.eventually("a job waits", func() bool {
				key := modelKey{ns, "echo"}
				w.mu.Lock()
				defer w.mu.Unlock()
				return w.models[key] != nil && w.models[key].waiters.Len() > 0
			})
		}
		created, leave := w.Created(ns, name)
		defer leave()
		other, leave := w.Created(ns, "another")
		defer leave()
		select {
		case <-created:
			t.Fatal("told before there is a turn")
		default:
		}
		w.mustCreate(turnNamed("c", name))
		<-created
		if turn := w.Unfinished(ns, name); turn == nil || turn.Name != name {
			t.Errorf("told of a turn that is %v", turn)
		}
		select {
		case <-other:
			t.Error("told of a turn of another name")
		default:
		}
	}
}
