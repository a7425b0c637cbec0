// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxes_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

func TestRunTellsOutputAndExit(t *testing.T) {
	t.Parallel()
	sb, _, workspace := newGateway(t).sandbox(t, "pod")
	for name, c := range map[string]struct {
		command        sandboxes.Command
		stdin          string
		stdout, stderr string
		code           int
		signal         syscall.Signal
	}{
		"output of both streams":     {command: sh("echo out; echo err >&2"), stdout: "out\n", stderr: "err\n"},
		"exit code":                  {command: sh("exit 7"), code: 7},
		"death by a signal":          {command: sh("kill -9 $$"), code: 137, signal: syscall.SIGKILL},
		"no last newline":            {command: sh("printf abc"), stdout: "abc"},
		"stdin to its end":           {command: sh("cat; echo done"), stdin: "hello", stdout: "hellodone\n"},
		"argv with newlines":         {command: sandboxes.Command{ID: <-ids, Argv: []string{"printf", "%s|", "a\nb", "", "$(x) ; 'y'"}}, stdout: "a\nb||$(x) ; 'y'|"},
		"environment":                {command: sandboxes.Command{ID: <-ids, Argv: []string{"sh", "-c", "echo $A"}, Env: []sandboxes.EnvVar{{Name: "A", Value: "1 2\n3"}}}, stdout: "1 2 3\n"},
		"working directory":          {command: sandboxes.Command{ID: <-ids, Argv: []string{"pwd"}, Dir: "/usr"}, stdout: "/usr\n"},
		"the workspace by default":   {command: sandboxes.Command{ID: <-ids, Argv: []string{"pwd"}}, stdout: workspace + "\n"},
		"stdin that nobody reads":    {command: sh("exec 0<&-; echo ok"), stdin: strings.Repeat("x", 1<<20), stdout: "ok\n"},
		"closed stdout":              {command: sh("exec >&-; echo err >&2; exit 3"), stderr: "err\n", code: 3},
		"no stdin is an empty stdin": {command: sh("cat; echo end"), stdout: "end\n"},
		"its own process group":      {command: sh("ps -o pgid= -p $$ | tr -d ' ' | grep -qx $$ && echo leader"), stdout: "leader\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var streams sandboxes.Streams
			if c.stdin != "" {
				streams.Stdin = strings.NewReader(c.stdin)
			}
			exit, out := mustRun(t, sb, c.command, streams)
			if out.stdout.String() != c.stdout || out.stderr.String() != c.stderr {
				t.Errorf("stdout %q, stderr %q; want %q, %q", out.stdout.String(), out.stderr.String(), c.stdout, c.stderr)
			}
			if exit.Code != c.code || exit.Signal != c.signal || exit.Reason != sandboxpb.Exited_FINISHED {
				t.Errorf("exit %+v", exit)
			}
			if exit.StdoutBytes != uint64(len(c.stdout)) {
				t.Errorf("%d bytes of stdout counted, want %d", exit.StdoutBytes, len(c.stdout))
			}
		})
	}
}

func TestRunRefusesWhatCannotStart(t *testing.T) {
	t.Parallel()
	sb, _, _ := newGateway(t).sandbox(t, "pod")
	for name, c := range map[string]struct {
		command sandboxes.Command
		want    sandboxpb.NotStarted_Reason
	}{
		"no such command":         {sandboxes.Command{Argv: []string{"no-such-command"}}, sandboxpb.NotStarted_NOT_FOUND},
		"no such path":            {sandboxes.Command{Argv: []string{"/no/such"}}, sandboxpb.NotStarted_NOT_FOUND},
		"not executable":          {sandboxes.Command{Argv: []string{"/etc/passwd"}}, sandboxpb.NotStarted_PERMISSION_DENIED},
		"a directory":             {sandboxes.Command{Argv: []string{"/usr"}}, sandboxpb.NotStarted_PERMISSION_DENIED},
		"nothing":                 {sandboxes.Command{}, sandboxpb.NotStarted_INVALID},
		"an argument with a NUL":  {sandboxes.Command{Argv: []string{"echo", "a\x00b"}}, sandboxpb.NotStarted_INVALID},
		"no such directory":       {sandboxes.Command{Argv: []string{"true"}, Dir: "/no/such"}, sandboxpb.NotStarted_INVALID},
		"a relative path nowhere": {sandboxes.Command{Argv: []string{"./nothing"}}, sandboxpb.NotStarted_NOT_FOUND},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.command.ID = <-ids
			_, err := sb.Run(context.Background(), c.command, sandboxes.Streams{})
			var refused *sandboxes.StartError
			if !errors.As(err, &refused) || refused.Reason != c.want {
				t.Fatalf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestTimeoutKillsTheWholeGroup(t *testing.T) {
	t.Parallel()
	sb, _, _ := newGateway(t).sandbox(t, "pod")
	// A shell that ignores SIGTERM, with a child in another session.
	var pids []string
	for timeout := 300 * time.Millisecond; len(pids) < 2; timeout *= 2 { // it may not get that far at first
		c := sh(`trap "" TERM; setsid sleep 1000 & echo $!; sleep 1000 & echo $!; wait`)
		c.Timeout, c.Grace = timeout, 100*time.Millisecond
		exit, out := mustRun(t, sb, c, sandboxes.Streams{})
		if exit.Code != 124 || exit.Reason != sandboxpb.Exited_TIMED_OUT {
			t.Fatalf("exit %+v", exit)
		}
		pids = strings.Fields(out.stdout.String())
	}
	for _, pid := range pids {
		gone(t, sb, pid)
	}
}

func TestBinaryOutputArrivesWholeThroughBackPressure(t *testing.T) {
	t.Parallel()
	sb, _, _ := newGateway(t).sandbox(t, "pod")
	content := make([]byte, 8<<20)
	rand.Read(content)
	hash := sha256.New()
	slow := 0
	exit, _ := mustRun(t, sb, sandboxes.Command{ID: <-ids, Argv: []string{"cat"}}, sandboxes.Streams{
		Stdin: bytes.NewReader(content),
		Output: func(c sandboxes.Chunk) error {
			if slow++; slow%16 == 0 {
				time.Sleep(time.Millisecond) // a reader that is slower than the writer
			}
			hash.Write(c.Data)
			return nil
		},
	})
	want := sha256.Sum256(content)
	if exit.Code != 0 || !bytes.Equal(hash.Sum(nil), want[:]) {
		t.Errorf("exit %+v, and the output is not what was sent", exit)
	}
}

func TestCappedOutputKeepsHeadAndTailAndCountsAll(t *testing.T) {
	t.Parallel()
	sb, _, _ := newGateway(t).sandbox(t, "pod")
	c := sh("seq 1 1000000; seq 1 3 >&2")
	c.Output = sandboxes.OutputPolicy{Capped: true, Head: 1000, Tail: 500}
	var head, tail bytes.Buffer
	var tailAt uint64
	out := &output{}
	exit, _ := mustRun(t, sb, c, sandboxes.Streams{Output: func(c sandboxes.Chunk) error {
		if c.Stderr {
			return out.take(c)
		}
		if c.Offset < 1000 {
			head.Write(c.Data)
		} else {
			if tail.Len() == 0 {
				tailAt = c.Offset
			}
			tail.Write(c.Data)
		}
		return nil
	}})
	const total = 6888896
	if exit.StdoutBytes != total || head.Len() != 1000 || tail.Len() != 500 || tailAt != total-500 {
		t.Errorf("total %d, head %d, tail %d at %d", exit.StdoutBytes, head.Len(), tail.Len(), tailAt)
	}
	if !strings.HasPrefix(head.String(), "1\n2\n3\n") || !strings.HasSuffix(tail.String(), "999999\n1000000\n") {
		t.Errorf("head %.10q, tail %q", head.String(), tail.String())
	}
	if out.stderr.String() != "1\n2\n3\n" {
		t.Errorf("stderr %q", out.stderr.String())
	}
}

func TestTerminalHasItsSizeAndIsResized(t *testing.T) {
	t.Parallel()
	sb, _, _ := newGateway(t).sandbox(t, "pod")
	resize := make(chan sandboxes.WindowSize)
	in, keyboard := io.Pipe()
	c := sandboxes.Command{ID: <-ids, Argv: []string{"sh", "-c", `trap 'stty size; exit 5' WINCH; stty size; tty >/dev/null && echo tty; echo err >&2; while :; do sleep 0.05; done`},
		TTY: &sandboxes.WindowSize{Rows: 24, Cols: 80}}
	out := &output{}
	resized := false
	exit, _ := mustRun(t, sb, c, sandboxes.Streams{Stdin: in, Resize: resize, Output: func(c sandboxes.Chunk) error {
		out.take(c)
		if !resized && strings.Contains(out.stdout.String(), "err") {
			resized = true
			go func() { resize <- sandboxes.WindowSize{Rows: 50, Cols: 132} }()
		}
		return nil
	}})
	keyboard.Close()
	if exit.Code != 5 || out.stdout.String() != "24 80\r\ntty\r\nerr\r\n50 132\r\n" {
		t.Errorf("exit %+v, output %q", exit, out.stdout.String())
	}
}

func TestTerminalTakesInputAndControlCharacters(t *testing.T) {
	t.Parallel()
	sb, _, _ := newGateway(t).sandbox(t, "pod")
	in, keyboard := io.Pipe()
	defer keyboard.Close()
	out := &output{}
	go keyboard.Write([]byte("hello\n"))
	exit, _ := mustRun(t, sb, sandboxes.Command{ID: <-ids, Argv: []string{"cat"}, TTY: &sandboxes.WindowSize{Rows: 1, Cols: 1}},
		sandboxes.Streams{Stdin: in, Output: func(c sandboxes.Chunk) error {
			out.take(c)
			if strings.HasSuffix(out.stdout.String(), "hello\r\nhello\r\n") { // the terminal's echo, and cat's
				go keyboard.Write([]byte{3}) // ^C
			}
			return nil
		}})
	if exit.Signal != syscall.SIGINT {
		t.Errorf("exit %+v", exit)
	}
}

func TestATerminalThatNobodyTypesOnIsNoMisbehaviour(t *testing.T) {
	t.Parallel()
	sb, _, _ := newGateway(t).sandbox(t, "pod")
	for range 2 {
		exit, out := mustRun(t, sb, sandboxes.Command{ID: <-ids, Argv: []string{"sh", "-c", "tty >/dev/null && echo terminal; sleep 0.1"}, TTY: &sandboxes.WindowSize{Rows: 24, Cols: 80}}, sandboxes.Streams{})
		if exit.Code != 0 || out.stdout.String() != "terminal\r\n" {
			t.Errorf("exit %+v, output %q", exit, out.stdout.String())
		}
	}
}

func TestSignalsReachTheGroup(t *testing.T) {
	t.Parallel()
	sb, _, _ := newGateway(t).sandbox(t, "pod")
	signals := make(chan syscall.Signal, 1)
	exit, _ := mustRun(t, sb, sh("trap 'exit 9' USR1; echo ready; while :; do sleep 0.05; done"), sandboxes.Streams{
		Signals: signals,
		Output:  func(sandboxes.Chunk) error { signals <- syscall.SIGUSR1; return nil },
	})
	if exit.Code != 9 {
		t.Errorf("exit %+v", exit)
	}
}

func TestACancelledRunStopsItsProcess(t *testing.T) {
	t.Parallel()
	sb, _, _ := newGateway(t).sandbox(t, "pod")
	ctx, cancel := context.WithCancel(context.Background())
	var out output
	_, err := sb.Run(ctx, sh("echo $$; sleep 1000"), sandboxes.Streams{Output: func(c sandboxes.Chunk) error {
		cancel()
		return out.take(c)
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	eventually(t, func() bool {
		processes, err := sb.Processes(context.Background())
		return err == nil && (len(processes) == 0 || processes[0].Exited.GetReason() == sandboxpb.Exited_STOPPED)
	})
}

func TestBackgroundProcessesDoNotHoldTheExitUp(t *testing.T) {
	t.Parallel()
	sb, _, _ := newGateway(t).sandbox(t, "pod")
	// mustRun has not the patience of the sleep.
	exit, _ := mustRun(t, sb, sh("yes & sleep 1000 & echo $!; head -c 1 /dev/zero"), sandboxes.Streams{Output: func(sandboxes.Chunk) error { return nil }})
	if exit.Code != 0 || exit.Reason != sandboxpb.Exited_FINISHED {
		t.Errorf("exit %+v", exit)
	}
}

func TestLeftoversEndWithTheLeaderIfWanted(t *testing.T) {
	t.Parallel()
	sb, _, _ := newGateway(t).sandbox(t, "pod")
	c := sh("sleep 1000 & echo $!")
	c.EndLeftover = true
	_, out := mustRun(t, sb, c, sandboxes.Streams{})
	gone(t, sb, strings.TrimSpace(out.stdout.String()))
}

// gone waits for the end of a process that was killed: it dies, and is reaped, when
// its turn comes.
func gone(t *testing.T, sb *sandboxes.Sandbox, pid string) {
	t.Helper()
	eventually(t, func() bool {
		_, alive := mustRun(t, sb, sh("kill -0 "+pid+" 2>/dev/null && echo alive"), sandboxes.Streams{})
		return alive.stdout.Len() == 0
	})
}

func TestOrphansAreReaped(t *testing.T) {
	t.Parallel()
	sb, _, _ := newGateway(t).sandbox(t, "pod")
	// The grandchildren outlive their parent and then end.
	mustRun(t, sb, sh("for i in 1 2 3 4 5 6 7 8; do (sleep 0.1 &) ; done"), sandboxes.Streams{})
	eventually(t, func() bool {
		_, out := mustRun(t, sb, sh("ps -e -o stat=,ppid= | grep -c \"^Z.* $PPID$\" || true"), sandboxes.Streams{})
		return strings.TrimSpace(out.stdout.String()) == "0"
	})
}

// eventually waits for what the other side does in its own time.
func eventually(t testing.TB, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to be within 20 s")
		}
		time.Sleep(10 * time.Millisecond)
	}
}
