// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bubblewrap_test

import (
	"context"
	"testing"
	"time"

	"safebeam.dev/safebeam/pkg/launcher/bubblewrap"
)

// A command is a process of the guest's user before it is one of the guest's: while
// it is being made, sandboxd waits for it.
func TestTheGuestCannotHoldUpSandboxdByStoppingCommandsAtBirth(t *testing.T) {
	t.Parallel()
	s, sb := newWorld(t).start(t, bubblewrap.Spec{})
	const storm = `$end = time + 8; while (time < $end) { open F, "/proc/loadavg"; ($last) = <F> =~ /(\d+)$/; kill 'STOP', $last + 1 .. $last + 4; }`
	done := make(chan struct{})
	go func() { try(sb, "perl", "-e", storm); close(done) }()
	n, stopped := 0, 0
	for {
		select {
		case <-done:
			t.Logf("%d commands, %d of them stopped", n, stopped)
			stillServes(t, s, func(script string) string { return sh(t, sb, script).stdout })
			return
		default:
			n++
			ctx, cancel := contextWithin(t)
			if _, err := sb.Run(ctx, commandOf("true"), streamsOf(nil)); err != nil {
				stopped++
			}
			cancel()
		}
	}
}

func contextWithin(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 200*time.Millisecond)
}
