// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxd_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	"safebeam.dev/safebeam/pkg/sandboxd/sandboxdtest"
	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// fleeing are guests whose newest processes are in sessions of their own, and have just
// been born, beside many who make every look at them long. They say when they have begun.
var fleeing = map[string]string{
	// Each goes on in its child; those before it wait, so that all descend from the first.
	"who go on in their child": `for (1 .. 400) { if (fork) { sleep 1000; exit } setsid(); said($_ == 5) }`,
	// Each has children who leave and end.
	"who send children out": `for (1 .. 5_000) { if (!fork) { setsid(); select undef, undef, undef, 0.05; exit } said($_ == 5) }`,
	"who are deaf": `$SIG{$_} = 'IGNORE' for qw(TERM HUP INT TSTP TTIN TTOU);
		for (1 .. 400) { if (fork) { sleep 1000; exit } setsid(); said($_ == 5) }`,
}

// flee has many of them, and many who wait.
const flee = `
	$| = 1; $SIG{CHLD} = 'IGNORE';
	sub said { print "on\n" if $_[0] && $first }
	for (1 .. 150) { if (!fork) { sleep 1000; exit } }
	for (1 .. 5) { $first = $_ == 5; if (!fork) { %s; exit } }
	sleep 1000`

// Who is ended leaves nobody behind, however fast it is.
func TestNobodyForksAwayFromTheEnd(t *testing.T) {
	for name, script := range fleeing {
		t.Run(name, func(t *testing.T) {
			_, sb := contained(t, &sandboxdtest.Container{User: 64123, Pids: 4000, MilliCPU: 2000}, 4000)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			begun := make(chan struct{})
			ended := make(chan sandboxes.Exit, 1)
			go func() {
				said := ""
				exit, err := sb.Run(ctx, sandboxes.Command{ID: "fleeing", Argv: []string{"perl", "-MPOSIX", "-e", fmt.Sprintf(flee, script)}}, sandboxes.Streams{
					Output: func(c sandboxes.Chunk) error {
						if said += string(c.Data); said == "on\n" {
							close(begun)
						}
						return nil
					},
				})
				if err != nil {
					t.Error(err)
				}
				ended <- exit
			}()
			<-begun
			if err := sb.Stop(ctx, "fleeing", -1); err != nil {
				t.Fatal(err)
			}
			if exit := <-ended; exit.Reason != sandboxpb.Exited_STOPPED {
				t.Errorf("exit %+v", exit)
			}
			// Those that were killed may not be gone yet; who got away forks on.
			var left string
			for range 100 {
				out, _, err := do(sb, 30*time.Second, "sh", "-c", `grep -l perl /proc/[0-9]*/comm | wc -l`)
				if err != nil {
					t.Fatal(err)
				}
				if left = strings.TrimSpace(out); left == "0" {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
			t.Errorf("%s got away", left)
		})
	}
}
