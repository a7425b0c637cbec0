// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxes

import (
	"fmt"
	"testing"
	"time"
)

func TestOneAddressKeepsNoOtherOneOut(t *testing.T) {
	now := time.Unix(0, 0)
	turnstile := newTurnstile(func() time.Time { return now })
	let := 0
	for range 100 {
		if turnstile.enter("flooder") {
			let++
		}
	}
	if let != maxGreetingFrom || !turnstile.enter("other") {
		t.Errorf("%d of the flooder are inside", let)
	}
	turnstile.leave("other")
	for range let {
		turnstile.leave("flooder")
	}
	// One after another they are let in until the bucket is empty, and then as it
	// fills.
	for turnstile.enter("flooder") {
		turnstile.leave("flooder")
		let++
	}
	if let != visitsAtOnce {
		t.Errorf("%d at once", let)
	}
	now = now.Add(time.Second)
	for let = 0; turnstile.enter("flooder"); let++ {
		turnstile.leave("flooder")
	}
	if let != visitsPerSecond {
		t.Errorf("%d in a second", let)
	}
}

func TestAllAddressesTogetherAreBounded(t *testing.T) {
	now := time.Unix(0, 0)
	turnstile := newTurnstile(func() time.Time { return now })
	let := 0
	for i := range 10 * maxGreeting {
		if turnstile.enter(fmt.Sprint(i)) {
			let++
		}
	}
	if let != maxGreeting {
		t.Errorf("%d are inside", let)
	}
	for i := range 3 * maxSources {
		turnstile.enter(fmt.Sprint("later", i))
		now = now.Add(time.Millisecond)
	}
	if n := len(turnstile.sources); n > maxSources+visitsAtOnce*1000/visitsPerSecond {
		t.Errorf("%d addresses are remembered", n)
	}
}
