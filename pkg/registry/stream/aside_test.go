// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package stream

import "testing"

func TestAPanicAsideIsTheCallers(t *testing.T) {
	t.Parallel()
	ran := false
	Aside(func() { ran = true })
	if !ran {
		t.Error("it returned before what it ran")
	}
	defer func() {
		if r := recover(); r != "no" {
			t.Errorf("recovered %v", r)
		}
	}()
	Aside(func() { panic("no") })
}
