// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxes_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
)

// The next release may cap output lower, and is no reason to end what runs.
func TestAProcessKeepsTheCapThatItWasStartedWith(t *testing.T) {
	t.Parallel()
	sb, _, _ := newGateway(t).sandbox(t, "pod")
	c := sh("seq 0 19999") // 108,890 bytes
	c.Survive, c.Output = true, sandboxes.OutputPolicy{Capped: true, Head: 10000, Tail: 10000}
	gone := errors.New("the gateway is killed")
	if _, err := sb.Run(t.Context(), c, sandboxes.Streams{Output: func(sandboxes.Chunk) error { return gone }}); !errors.Is(err, gone) {
		t.Fatalf("got %v", err)
	}
	out := &output{}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	exit, err := sb.Attach(ctx, c.ID, 0, sandboxes.OutputPolicy{Capped: true, Head: 1000, Tail: 1000}, sandboxes.Streams{Output: out.take})
	if err != nil || exit.Code != 0 || out.stdout.Len() != 20000 {
		t.Errorf("exit %+v, %v, %d bytes", exit, err, out.stdout.Len())
	}
}
