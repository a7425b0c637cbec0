// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import "testing"

func TestDepthIsThatOfTheNesting(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		``: 0, `1`: 0, `{}`: 1, `[[],[[]]]`: 3, `{"a":{"b":[1]},"c":2}`: 3,
		`{"[[[":"{{{"}`: 1, `{"\"[":"\\","a":[]}`: 2, `{"a":"\\\"["}`: 1,
	} {
		if got := Depth([]byte(text)); got != want {
			t.Errorf("%s is %d deep, want %d", text, got, want)
		}
	}
}
