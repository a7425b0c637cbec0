// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxd

import (
	"testing"
	"time"
)

func TestManySmallChunksAreHeldBack(t *testing.T) {
	t.Parallel()
	var p pacer
	at := time.Now()
	for i := range paceBurst {
		if p.after(1, at) != nil {
			t.Fatalf("chunk %d of the first waits", i)
		}
	}
	if p.after(1, at) == nil {
		t.Error("many small chunks at once do not wait")
	}
	if p.after(smallChunk, at) != nil {
		t.Error("a large one waits")
	}
	at = at.Add(3 * paceInterval)
	for range 3 {
		if p.after(1, at) != nil {
			t.Error("what time has earned waits")
		}
	}
	if p.after(1, at) == nil {
		t.Error("more than time has earned does not wait")
	}
	if p.after(1, at.Add(time.Hour)) != nil {
		t.Error("it waits after a pause")
	}
}
