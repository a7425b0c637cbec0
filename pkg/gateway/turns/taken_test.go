// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"testing"

	"k8s.io/apiserver/pkg/storage"
)

// Who gets no answer asks again, while the turn goes on. What the watch cache holds
// of it is everybody's, and is not written into: startWorld's storage looks at that.
func TestACreateOfANameThatIsTakenChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.conversation("c", nil)
	before := w.mustCreate(turnNamed("c", "one"))
	j := w.pull("echo")
	taken := func() {
		t.Helper()
		if _, err := w.create(turnNamed("c", "one")); !storage.IsExist(err) {
			t.Errorf("got %v", err)
		}
	}
	taken()
	j.complete("ok")
	w.finished("one")
	taken()
	if after := w.stored("one"); after.UID != before.UID || len(after.Status.Attempts) != 1 {
		t.Errorf("it is %+v", after.Status)
	}
}
