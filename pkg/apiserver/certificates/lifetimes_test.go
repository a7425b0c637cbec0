// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package certificates

import (
	"bytes"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"
)

func TestLifetimesLeaveTimeToReplaceWhatEnds(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		lifetimes Lifetimes
		valid     bool
	}{
		{DefaultLifetimes(), true},
		{Lifetimes{Authority: 4 * time.Minute, Serving: time.Minute}, true},
		{Lifetimes{Authority: time.Hour, Serving: 59 * time.Second}, false},
		{Lifetimes{Authority: 359 * 24 * time.Hour, Serving: 90 * 24 * time.Hour}, false},
		{Lifetimes{}, false},
	} {
		if err := tc.lifetimes.Validate(); (err == nil) != tc.valid {
			t.Errorf("%+v: %v", tc.lifetimes, err)
		}
	}
}

// The shortest lifetimes are kept to as the longest are: nothing that is served
// with has run out, or is of an authority that was not published for long enough.
func TestCertificatesOfTheShortestLifeAreReplacedInTime(t *testing.T) {
	t.Parallel()
	lifetimes := Lifetimes{Authority: 4 * minServing, Serving: minServing}
	clock := testingclock.NewFakeClock(epoch)
	a, err := NewAuthority(t.Context(), records(), "test", lifetimes, clock)
	if err != nil {
		t.Fatal(err)
	}
	serving, err := a.Issue("server", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	signed := 0
	serving.AddListener(listener(func() { signed++ }))
	type bundle struct {
		at  time.Time
		pem []byte
	}
	read := []bundle{{epoch, a.Bundle()}}
	const long = 12 * time.Minute // three lives
	steps := int(long / lifetimes.checkInterval())
	for range steps {
		clock.Step(lifetimes.checkInterval())
		if err := a.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		now := clock.Now()
		for now.Sub(read[0].at) > lifetimes.publishBefore() {
			read = read[1:]
		}
		if err := trusts(read[0].pem, serving, "localhost", now); err != nil {
			t.Fatalf("%v after the start, with what was read at %v: %v", now.Sub(epoch), read[0].at.Sub(epoch), err)
		}
		read = append(read, bundle{now, a.Bundle()})
	}
	// When two thirds of its life are over, and when another authority signs.
	if signed < 18 || signed > 24 {
		t.Errorf("signed %d times in %v", signed, long)
	}
}

// Shorter lifetimes hold for the authority that is there: it gets its successor,
// and is trusted for as long as it was made for.
func TestAnAuthorityOlderThanItsNewLifetimeGetsASuccessorAtOnce(t *testing.T) {
	t.Parallel()
	store, clock := records(), testingclock.NewFakeClock(epoch)
	before := authority(t, store, clock).Bundle()
	clock.Step(24 * time.Hour)
	shorter, err := NewAuthority(t.Context(), store, "test", Lifetimes{Authority: time.Hour, Serving: minServing}, clock)
	if err != nil {
		t.Fatal(err)
	}
	serving, err := shorter.Issue("server", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	after := shorter.Bundle()
	if !bytes.HasPrefix(after, before) || len(after) == len(before) {
		t.Errorf("the bundle is\n%s, before\n%s", after, before)
	}
	if err := trusts(before, serving, "localhost", clock.Now()); err != nil {
		t.Errorf("the successor signs already: %v", err)
	}
	clock.Step(7 * time.Minute)
	if err := shorter.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if trusts(before, serving, "localhost", clock.Now()) == nil {
		t.Error("the successor does not sign")
	}
	if err := trusts(after, serving, "localhost", clock.Now()); err != nil {
		t.Error(err)
	}
	// Longer lifetimes again: the first one is the only one that is old enough to sign.
	longer := authority(t, store, clock)
	if serving, err = longer.Issue("server", "localhost"); err != nil {
		t.Fatal(err)
	}
	if err := trusts(before, serving, "localhost", clock.Now()); err != nil {
		t.Error(err)
	}
}
