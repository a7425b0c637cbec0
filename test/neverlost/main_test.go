// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package neverlost

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"safebeam.dev/safebeam/test/harness"
)

const namespace = harness.Namespace

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == clientCommand {
		os.Exit(clientMain(os.Args[2:]))
	}
	os.Exit(harness.Main(m))
}

// rounds is how often something is killed.
func rounds(t *testing.T, byDefault int) int {
	if text := os.Getenv("NEVERLOST_ROUNDS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("NEVERLOST_ROUNDS: %v", err)
		}
		return n
	}
	return byDefault
}

// random is seeded anew in every run, and says how.
func random(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("NEVERLOST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("NEVERLOST_SEED: %v", err)
		}
	}
	t.Logf("NEVERLOST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}
