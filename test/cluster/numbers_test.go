// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bufio"
	"encoding/json"
	"io"
	"testing"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// readNumbers reads events until the body ends or breaks, and returns the last
// number. Numbers go on from seen without a gap.
func readNumbers(t *testing.T, body io.ReadCloser, seen int64) (last int64, done bool) {
	t.Helper()
	defer body.Close()
	lines := bufio.NewReader(body)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return seen, done // the rest of a line is sent again
		}
		var event tightbeamv1.TurnEvent
		if err := json.Unmarshal(line, &event); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		if event.Number != seen+1 {
			t.Fatalf("event %d follows %d", event.Number, seen)
		}
		seen, done = event.Number, event.Type.Terminal()
	}
}
