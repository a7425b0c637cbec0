// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// newRandom returns the randomness of a test. A failed test tells how to repeat
// it.
func newRandom(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SAFEBEAM_SEED"); s != "" {
		given, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("SAFEBEAM_SEED=%s: %v", s, err)
		}
		seed = given
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat with SAFEBEAM_SEED=%d", seed)
		}
	})
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// rounds is n, or a multiple of it.
func rounds(t *testing.T, n int) int {
	s := os.Getenv("SAFEBEAM_ROUNDS")
	if s == "" {
		return n
	}
	factor, err := strconv.Atoi(s)
	if err != nil || factor < 1 {
		t.Fatalf("SAFEBEAM_ROUNDS=%s is no factor", s)
	}
	return n * factor
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }
