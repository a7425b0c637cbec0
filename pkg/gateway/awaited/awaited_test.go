// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package awaited

import "testing"

func TestWhoWaitsIsToldAndLeavesNothing(t *testing.T) {
	t.Parallel()
	var a Names[string]
	a.Tell("early") // nobody waits
	first, leaveFirst := a.Wait("pod")
	second, leaveSecond := a.Wait("pod")
	other, leaveOther := a.Wait("other")
	a.Tell("pod")
	<-first
	<-second
	select {
	case <-other:
		t.Error("told of another name")
	default:
	}
	// Told is not there: who waits now is told of the next time.
	third, leaveThird := a.Wait("pod")
	for _, leave := range []func(){leaveFirst, leaveSecond, leaveOther} {
		leave()
	}
	if a.Len() != 1 {
		t.Errorf("%d are waited for", a.Len())
	}
	a.Tell("pod")
	<-third
	leaveThird()
	if a.Len() != 0 {
		t.Error("a waiter is left behind")
	}
}
