// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxd_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	"safebeam.dev/safebeam/pkg/sandboxd/sandboxdtest"
	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

func TestMain(m *testing.M) {
	sandboxdtest.Main()
	os.Exit(m.Run())
}

// gateway serves one sandboxd, and remembers whether it lost it.
type gateway struct {
	*sandboxes.Server
	mu   sync.Mutex
	lost []error
}

const podUID = types.UID("pod")

func (g *gateway) Authenticate(context.Context, string) (types.UID, error) { return podUID, nil }
func (g *gateway) Connected(types.UID)                                     {}
func (g *gateway) Refused(types.UID, error)                                {}
func (g *gateway) Misbehaved(types.UID, error)                             {}
func (g *gateway) Disconnected(_ types.UID, reason error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lost = append(g.lost, reason)
}

func (g *gateway) disconnections() []error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lost
}

// contained starts a sandboxd in a container like a pod's and waits for it.
func contained(t *testing.T, container *sandboxdtest.Container, pids uint64) (*gateway, *sandboxes.Sandbox) {
	t.Helper()
	ca, serving := sandboxdtest.Certificates(t)
	g := &gateway{}
	g.Server = sandboxes.NewServer(sandboxes.Options{
		TLS: &tls.Config{Certificates: []tls.Certificate{serving}}, Authenticator: g, Observer: g,
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() { g.Serve(ctx, l); close(served) }()
	t.Cleanup(func() { cancel(); g.Close(); <-served })
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("token"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := sandboxdtest.Start(t, sandboxdtest.Config{
		Gateway: l.Addr().String(), CA: ca, TokenFile: token, PidsLimit: pids, Container: container,
	})
	sb := g.Sandbox(podUID)
	wait, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	if err := sb.Wait(wait); err != nil {
		t.Fatalf("sandboxd did not connect: %v\n%s", err, p.Output)
	}
	return g, sb
}

var commands int

// do runs a command and says what it wrote.
func do(sb *sandboxes.Sandbox, within time.Duration, argv ...string) (output string, exit sandboxes.Exit, err error) {
	commands++
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	exit, err = sb.Run(ctx, sandboxes.Command{
		ID: fmt.Sprintf("p-%d", commands), Argv: argv,
		Output: sandboxes.OutputPolicy{Capped: true, Head: 1 << 10, Tail: 1 << 10},
	}, sandboxes.Streams{Output: func(c sandboxes.Chunk) error { output += string(c.Data); return nil }})
	return output, exit, err
}

// bombs multiply in different ways, each as fast as it can.
var bombs = map[string][]string{
	"a shell's":               {"/bin/sh", "-c", "b() { b | b & }; while :; do b; sleep 0.1; done"},
	"one that only forks":     {"perl", "-e", "while (1) { fork }"},
	"one in sessions":         {"perl", "-MPOSIX", "-e", "while (1) { fork; POSIX::setsid() }"},
	"one that sleeps":         {"perl", "-e", "while (1) { fork // select(undef, undef, undef, 0.01) }"},
	"one that leaves orphans": {"perl", "-e", "$SIG{CHLD} = 'IGNORE'; while (1) { if (fork) { fork or next; exit if $$ % 2 && $n++ > 2 } }"},
}

// patience is far more than it takes, on a machine that has other things to do.
const patience = 20 * time.Second

// The limits are those of a small pod: sandboxd shares with its guest a part of one
// processor and a number of pids, and sees neither limit.
func TestAForkBombDoesNotStarveSandboxd(t *testing.T) {
	for name, bomb := range bombs {
		for _, c := range []struct {
			name          string
			limit, kernel uint64
		}{
			{"below the kernel's limit", 512, 1024},
			{"whose limit is the kernel's", 0, 200},
		} {
			t.Run(name+" "+c.name, func(t *testing.T) {
				container := &sandboxdtest.Container{User: 12345, Pids: c.kernel, MilliCPU: 500}
				g, sb := contained(t, container, c.limit)
				type end struct {
					exit sandboxes.Exit
					err  error
				}
				ended := make(chan end, 1)
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				began := time.Now()
				go func() {
					exit, err := sb.Run(ctx, sandboxes.Command{ID: "bomb", Argv: bomb, Output: sandboxes.OutputPolicy{Capped: true, Head: 1 << 10, Tail: 1 << 10}}, sandboxes.Streams{})
					ended <- end{exit, err}
				}()
				// It has to have gone off before anything is asked of sandboxd.
				most := int(c.kernel) * 3 / 4
				if c.limit != 0 {
					most = int(c.limit) * 3 / 4
				}
				for {
					n, err := container.PidsInUse()
					if err != nil {
						t.Fatal(err)
					}
					if n >= most {
						break
					}
					if len(ended) > 0 {
						break
					}
					if time.Since(began) > 30*time.Second {
						t.Fatalf("the bomb did not go off: %d pids", n)
					}
					time.Sleep(time.Millisecond)
				}
				off := time.Now()
				// Whatever is started beside the bomb may be ended with it.
				answered := false
				for deadline := time.Now().Add(patience); !answered && time.Now().Before(deadline); {
					output, exit, err := do(sb, patience, "echo", "alive")
					if answered = err == nil && output == "alive\n"; !answered {
						t.Logf("after %s: %q, %v, %v", time.Since(off), output, exit.Reason, err)
					}
				}
				t.Logf("went off after %s, an exec was answered after %s", off.Sub(began), time.Since(off))
				if !answered {
					t.Error("nothing can be run in the sandbox any more")
				}
				// Who finds no pids left has whoever has them ended.
				left := 0
				for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
					if left, _ = container.PidsInUse(); left < most/2 {
						break
					}
					do(sb, patience, "true")
				}
				t.Logf("over %s after it went off, %d pids are left", time.Since(off), left)
				if left >= most/2 {
					t.Errorf("the bomb goes on, with %d pids", left)
				}
				select {
				case e := <-ended:
					// A shell gives up when it cannot fork, and leaves the others behind.
					if e.err != nil || e.exit.Reason != sandboxpb.Exited_PIDS && e.exit.Reason != sandboxpb.Exited_FINISHED {
						t.Errorf("the bomb's end: %+v, %v", e.exit, e.err)
					}
				case <-time.After(patience):
					t.Error("the bomb's first process goes on")
				}
				if lost := g.disconnections(); len(lost) > 0 {
					t.Errorf("the connection was lost: %v", errors.Join(lost...))
				}
			})
		}
	}
}

// A runtime that needs a thread and gets none aborts. sandboxd has made beforehand
// what it needs for all that can be asked of it at one time.
func TestSandboxdDoesItsWorkWithoutAPidLeft(t *testing.T) {
	// Fewer for the guest than it is ended for: they are not given back.
	container := &sandboxdtest.Container{User: 12345, Pids: 90, MilliCPU: 1000}
	g, sb := contained(t, container, 0)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	full, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := sb.Run(ctx, sandboxes.Command{ID: "many", Argv: []string{"perl", "-e", `$| = 1; while (defined($p = fork)) { if (!$p) { sleep 1000 } } print "full"; sleep 1000`}},
			sandboxes.Streams{Output: func(sandboxes.Chunk) error { close(full); return nil }})
		ended <- err
	}()
	<-full
	var all sync.WaitGroup
	var mu sync.Mutex
	refusals := 0
	for i := range 100 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			_, err := sb.Run(ctx, sandboxes.Command{ID: fmt.Sprintf("one-more-%d", i), Argv: []string{"true"}}, sandboxes.Streams{})
			if err != nil && strings.Contains(err.Error(), "resource temporarily unavailable") {
				mu.Lock()
				defer mu.Unlock()
				refusals++
			} else if err != nil {
				t.Errorf("command %d: %v", i, err)
			}
		})
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			part := sandboxes.Part{Path: fmt.Sprintf("%s/file-%d", sandboxdtest.Workspace, i), Upload: fmt.Sprint(i), Commit: true, Total: 1 << 20}
			if _, _, err := sb.WritePart(ctx, part, strings.NewReader(strings.Repeat("x", 1<<20))); err != nil {
				t.Errorf("upload %d: %v", i, err)
			}
		})
	}
	all.Wait()
	t.Logf("%d of 100 commands found no pid", refusals)
	if refusals == 0 {
		t.Error("every command found a pid: nothing was tested")
	}
	if err := sb.Stop(context.Background(), "many", -1); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if output, _, err := do(sb, patience, "echo", "alive"); err != nil || output != "alive\n" {
		t.Errorf("when there are pids again: %q, %v", output, err)
	}
	if lost := g.disconnections(); len(lost) > 0 {
		t.Errorf("the connection was lost: %v", errors.Join(lost...))
	}
}
