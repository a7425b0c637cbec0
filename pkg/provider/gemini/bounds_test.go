// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package gemini

import (
	"strings"
	"testing"

	"safebeam.dev/safebeam/pkg/provider"
)

// What goes back unchanged is held in memory like what people see, and no
// provider may fill the job with it.
func TestEverythingThatIsKeptIsBounded(t *testing.T) {
	t.Parallel()
	const almost = 42 << 20 // of 48
	big := strings.Repeat("A", 1<<20)
	for name, raw := range map[string]string{
		"text":           `{"text":"` + big + `"}`,
		"thoughts":       `{"text":"` + big + `","thought":true}`,
		"signatures":     `{"text":"","thoughtSignature":"` + big + `"}`,
		"pictures":       `{"inlineData":{"mimeType":"image/png","data":"` + big + `"}}`,
		"function calls": `{"functionCall":{"name":"f","args":{"x":"` + big + `"}}}`,
	} {
		s := &answer{Answer: provider.NewAnswer(provider.Gemini, "m", func(provider.Event) error { return nil })}
		if err := s.Hold(almost); err != nil {
			t.Fatal(err)
		}
		n := 0
		for ; n < 20; n++ {
			if s.part([]byte(raw)) != nil {
				break
			}
		}
		if n < 1 || n > 6 {
			t.Errorf("%s: %d MiB more were kept", name, n)
		}
	}
}
