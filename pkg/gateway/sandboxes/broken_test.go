// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxes_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	"safebeam.dev/safebeam/pkg/sandboxd/sandboxdtest"
)

// wire lies between a sandboxd and its gateway, and breaks.
type wire struct {
	address string
	mu      sync.Mutex
	lengths []int64 // after how many bytes of each connection; those after it hold
}

func newWire(t *testing.T, gateway string, lengths ...int64) *wire {
	t.Helper()
	path := filepath.Join(t.TempDir(), "wire.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{address: "unix:" + path, lengths: lengths}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			ours, err := l.Accept()
			if err != nil {
				return
			}
			theirs, err := net.Dial("unix", strings.TrimPrefix(gateway, "unix:"))
			if err != nil {
				ours.Close()
				continue
			}
			all.Go(func() { w.carry(ours, theirs) })
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return w
}

// left is how many connections are still to break.
func (w *wire) left() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.lengths)
}

func (w *wire) carry(a, b net.Conn) {
	length := int64(1 << 62)
	w.mu.Lock()
	if len(w.lengths) > 0 {
		length, w.lengths = w.lengths[0], w.lengths[1:]
	}
	w.mu.Unlock()
	var both sync.WaitGroup
	one := func(to, from net.Conn) {
		io.CopyN(to, from, length)
		a.Close()
		b.Close()
	}
	both.Go(func() { one(a, b) })
	both.Go(func() { one(b, a) })
	both.Wait()
}

// Whatever is under way when a connection breaks, it goes on with the next one, is run
// once, loses nothing, and is never taken for the lie of a hostile sandboxd.
func TestAnHonestSandboxdIsBelievedHoweverItsConnectionsBreak(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	var lengths []int64
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for range 5 { // sandboxd waits longer before each
		lengths = append(lengths, 4<<10+random.Int64N(300<<10))
	}
	w := newWire(t, g.address, lengths...)
	sb, _, workspace := g.sandbox(t, "pod", func(c *sandboxdtest.Config) { c.Gateway = w.address })

	content := make([]byte, 400<<10)
	for i := range content {
		content[i] = byte(random.Uint32())
	}
	capped := sandboxes.OutputPolicy{Capped: true, Head: 10000, Tail: 1000}
	var numbers bytes.Buffer
	for i := range 20000 {
		fmt.Fprintln(&numbers, i)
	}
	kinds := []struct {
		name, script, stdin, want string
		tty                       *sandboxes.WindowSize
		output                    sandboxes.OutputPolicy
		total                     uint64
	}{
		{name: "both ways", script: "cat", stdin: string(content), want: string(content), total: uint64(len(content))},
		{name: "in, slowly", script: "sleep 0.2; wc -c", stdin: string(content), want: fmt.Sprintln(len(content))},
		{name: "not read", script: "exec <&-; echo shut", stdin: string(content), want: "shut\n"},
		{name: "a part read", script: "head -c 5000", stdin: string(content), want: string(content[:5000])},
		{name: "capped", script: "seq 0 19999", output: capped,
			want: numbers.String()[:10000] + numbers.String()[numbers.Len()-1000:], total: uint64(numbers.Len())},
		{name: "nothing to say", script: "true"},
		{name: "a terminal", script: "tty >/dev/null && echo one", tty: &sandboxes.WindowSize{Rows: 24, Cols: 80}, want: "one\r\n"},
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for round := 0; round < 2 || w.left() > 0; round++ {
		for i, kind := range kinds {
			all.Go(func() {
				id := fmt.Sprintf("%s-%d-%d", t.Name(), round, i)
				command := sandboxes.Command{
					ID: id, Argv: []string{"/bin/sh", "-c", "echo " + id + " >>" + workspace + "/ran; " + kind.script}, TTY: kind.tty, Output: kind.output,
				}
				out := &output{}
				streams := sandboxes.Streams{Output: out.take}
				if kind.stdin != "" {
					streams.Stdin = strings.NewReader(kind.stdin)
				}
				exit, err := sb.Run(ctx, command, streams)
				if err != nil {
					t.Errorf("%s, seed %d: %v", kind.name, seed, err)
					return
				}
				if got := out.stdout.String(); got != kind.want || out.stderr.Len() > 0 || kind.total > 0 && exit.StdoutBytes != kind.total {
					t.Errorf("%s, seed %d: %d bytes of output, want %d; %d counted; stderr %q", kind.name, seed, len(got), len(kind.want), exit.StdoutBytes, out.stderr.String())
				}
			})
		}
		all.Wait()
		if t.Failed() {
			break
		}
	}
	ran, err := os.ReadFile(workspace + "/ran")
	if err != nil {
		t.Fatal(err)
	}
	times := map[string]int{}
	for line := range strings.Lines(string(ran)) {
		if times[line]++; times[line] > 1 {
			t.Errorf("%q ran %d times", line, times[line])
		}
	}
	g.Close()
	for len(g.events.ch) > 0 {
		if event := <-g.events.ch; event == "misbehaved pod" {
			t.Errorf("seed %d: an honest sandboxd was taken for a hostile one", seed)
		}
	}
}

// Another life of the gateway knows how much of stdin has come, and not how much of
// that was read.
func TestAnotherLifeSendsNoMoreStdinThanThereIsRoomFor(t *testing.T) {
	t.Parallel()
	sb, _, workspace := newGateway(t).sandbox(t, "pod")
	content := strings.Repeat("0123456789abcdef", 1<<16)
	command := sh("while [ ! -e " + workspace + "/go ]; do sleep 0.01; done; cksum")
	command.Survive = true
	reader := &noticing{Reader: strings.NewReader(content), after: 7 * 32 << 10, noticed: make(chan struct{})}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	first := make(chan error, 1)
	started := make(chan struct{})
	go func() {
		_, err := sb.Run(ctx, command, sandboxes.Streams{Stdin: reader, Started: func(time.Time) { close(started) }})
		first <- err
	}()
	<-started
	<-reader.noticed // nearly all that there is room for
	out := &output{}
	exit, err := sb.Attach(ctx, command.ID, 0, sandboxes.OutputPolicy{}, sandboxes.Streams{
		Output:    out.take,
		StdinFrom: func(offset uint64) io.Reader { return strings.NewReader(content[offset:]) },
		Started: func(time.Time) {
			go func() { put(sb, workspace+"/go", nil) }()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, want := mustRun(t, sb, sandboxes.Command{ID: <-ids, Argv: []string{"cksum"}}, sandboxes.Streams{Stdin: strings.NewReader(content)})
	if exit.Code != 0 || out.stdout.String() != want.stdout.String() {
		t.Errorf("exit %+v, output %q, want %q", exit, out.stdout.String(), want.stdout.String())
	}
	if err := <-first; err == nil {
		t.Error("the first one saw the end as well")
	}
}

// noticing tells when so much of it was read.
type noticing struct {
	io.Reader
	read, after int
	once        sync.Once
	noticed     chan struct{}
}

func (r *noticing) Read(p []byte) (int, error) {
	if r.read >= r.after {
		r.once.Do(func() { close(r.noticed) })
	}
	n, err := r.Reader.Read(p)
	r.read += n
	return n, err
}

// Whoever attaches need not send what another life did not come to send.
func TestAnAttachmentWithoutStdinIsToldOfItsAcknowledgementInVain(t *testing.T) {
	t.Parallel()
	sb, _, _ := newGateway(t).sandbox(t, "pod")
	command := sh("cat >/dev/null; echo all")
	command.Survive = true
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// The first one is gone before it acknowledges anything.
	started := make(chan struct{})
	first := make(chan error, 1)
	life, over := context.WithCancel(ctx)
	go func() {
		_, err := sb.Run(life, command, sandboxes.Streams{Stdin: strings.NewReader("some"), Started: func(time.Time) { close(started) }, Commit: func(sandboxes.Exit) error {
			return errors.New("that was not kept")
		}})
		first <- err
	}()
	<-started
	eventually(t, func() bool { // its stdin has come, and was read
		processes, err := sb.Processes(ctx)
		return err == nil && len(processes) == 1 && processes[0].Exited != nil
	})
	over()
	<-first
	out := &output{}
	exit, err := sb.Attach(ctx, command.ID, 0, sandboxes.OutputPolicy{}, sandboxes.Streams{Output: out.take})
	if err != nil {
		t.Fatal(err)
	}
	if exit.Code != 0 || out.stdout.String() != "all\n" {
		t.Errorf("exit %+v, output %q", exit, out.stdout.String())
	}
}
