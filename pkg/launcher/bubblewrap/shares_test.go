// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bubblewrap

import "testing"

func TestASandboxWeighsWhatItAsksForAsInKubernetes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ milliCPU, shares, weight uint64 }{
		{1, 2, 1}, {100, 102, 4}, {500, 512, 20}, {1000, 1024, 39}, {4000, 4096, 157}, {1_000_000, 262144, 10000},
	} {
		if s, w := shares(c.milliCPU), weight(c.milliCPU); s != c.shares || w != c.weight {
			t.Errorf("%d thousandths of a processor have %d shares and the weight %d, want %d and %d", c.milliCPU, s, w, c.shares, c.weight)
		}
	}
}
