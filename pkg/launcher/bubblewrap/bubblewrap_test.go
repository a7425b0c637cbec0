// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bubblewrap_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	"safebeam.dev/safebeam/pkg/launcher/bubblewrap"
	"safebeam.dev/safebeam/pkg/sandboxd/sandboxdtest"
)

// The tests need bwrap, and fail without it: apt-get install bubblewrap.

var sandboxd string

func TestMain(m *testing.M) {
	// With it sandboxd is a part of this program, too: what go test has in its cache is
	// no result of another sandboxd.
	sandboxdtest.Main()
	os.Exit(func() int {
		if sandboxd = os.Getenv(variableSandboxd); sandboxd != "" {
			return m.Run()
		}
		// Other users have to reach it, so it is in no directory of t.TempDir.
		dir, err := os.MkdirTemp("", "bubblewrap-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		os.Chmod(dir, 0o755)
		sandboxd = filepath.Join(dir, "sandboxd")
		build := exec.Command("go", "build", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", sandboxd, "safebeam.dev/safebeam/cmd/sandboxd")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building sandboxd: %v\n%s", err, out)
			return 1
		}
		os.Chmod(sandboxd, 0o755)
		return m.Run()
	}())
}

// world is a gateway with a launcher.
type world struct {
	gateway  *sandboxes.Server
	launcher *bubblewrap.Launcher
	ca       []byte
	serving  tls.Certificate

	mu      sync.Mutex
	tokens  map[string]types.UID
	refused atomic.Int32
}

func (w *world) Authenticate(_ context.Context, token string) (types.UID, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if uid, ok := w.tokens[token]; ok {
		return uid, nil
	}
	return "", sandboxes.ErrUnauthenticated
}

func (w *world) Connected(types.UID)           {}
func (w *world) Disconnected(types.UID, error) {}
func (w *world) Refused(types.UID, error)      { w.refused.Add(1) }
func (w *world) Misbehaved(types.UID, error)   {}

func newWorld(t testing.TB) *world {
	t.Helper()
	state, err := os.MkdirTemp("", "sb-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(state) })
	os.Chmod(state, 0o711)
	return newWorldAt(t, state)
}

func newWorldAt(t testing.TB, state string) *world {
	t.Helper()
	w := &world{tokens: map[string]types.UID{}}
	w.ca, w.serving = sandboxdtest.Certificates(t)
	w.gateway = sandboxes.NewServer(sandboxes.Options{
		TLS: &tls.Config{Certificates: []tls.Certificate{w.serving}}, Authenticator: w, Observer: w,
	})
	t.Cleanup(w.gateway.Close)
	var err error
	w.launcher, err = bubblewrap.New(bubblewrap.Options{
		Sandboxd: sandboxd, StateDir: state, Gateway: w.gateway, CA: w.ca, ServerName: sandboxdtest.ServerName,
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// start starts a sandbox and waits until it is connected.
func (w *world) start(t testing.TB, spec bubblewrap.Spec) (*bubblewrap.Sandbox, *sandboxes.Sandbox) {
	t.Helper()
	if spec.Name == "" {
		spec.Name = "sandbox"
	}
	spec.Token = "token-" + spec.Name
	w.mu.Lock()
	w.tokens[spec.Token] = types.UID(spec.Name)
	w.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	s, err := w.launcher.Start(ctx, spec)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); <-s.Done() })
	sb := w.gateway.Sandbox(types.UID(spec.Name))
	wait, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	go func() {
		select {
		case <-s.Done():
			stop()
		case <-wait.Done():
		}
	}()
	if err := sb.Wait(wait); err != nil {
		t.Fatalf("sandboxd did not connect: %v; the sandbox: %v", err, s.Err())
	}
	return s, sb
}

var numbers atomic.Int64

type result struct {
	sandboxes.Exit
	stdout, stderr string
}

// run runs argv, capped at 1 MiB of each stream.
func run(t testing.TB, sb *sandboxes.Sandbox, argv ...string) result {
	t.Helper()
	r, err := try(sb, argv...)
	if err != nil {
		t.Fatalf("running %q: %v", argv, err)
	}
	return r
}

func try(sb *sandboxes.Sandbox, argv ...string) (result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	var stdout, stderr bytes.Buffer
	exit, err := sb.Run(ctx, sandboxes.Command{
		ID: fmt.Sprintf("p-%d", numbers.Add(1)), Argv: argv, Timeout: 50 * time.Second,
		Output: sandboxes.OutputPolicy{Capped: true, Head: 512 << 10, Tail: 512 << 10},
	}, sandboxes.Streams{Output: func(c sandboxes.Chunk) error {
		if c.Stderr {
			stderr.Write(c.Data)
		} else {
			stdout.Write(c.Data)
		}
		return nil
	}})
	return result{exit, stdout.String(), stderr.String()}, err
}

func sh(t testing.TB, sb *sandboxes.Sandbox, script string) result {
	t.Helper()
	return run(t, sb, "/bin/sh", "-c", script)
}

func TestSandboxRunsOrdinaryPrograms(t *testing.T) {
	t.Parallel()
	_, sb := newWorld(t).start(t, bubblewrap.Spec{Env: []string{"GREETING=hello"}})
	for name, c := range map[string]struct{ script, want string }{
		"the user":            {"id -u; id -g; id -un; whoami", "1000\n1000\nsandbox\nsandbox\n"},
		"the directory":       {"pwd; echo $HOME", "/workspace\n/workspace\n"},
		"the environment":     {"echo $GREETING", "hello\n"},
		"files":               {"echo x > /workspace/f && cat /workspace/f && echo y > /tmp/g && cat /tmp/g", "x\ny\n"},
		"shared memory":       {"echo z > /dev/shm/s && cat /dev/shm/s", "z\n"},
		"a host name":         {"uname -n", "sandbox\n"},
		"a language":          {"perl -e 'print 6*7, \"\\n\"'", "42\n"},
		"subprocesses":        {"for i in 1 2 3; do (echo $i); done | tac", "3\n2\n1\n"},
		"sandboxd is PID 1":   {"cat /proc/1/comm", "sandboxd\n"},
		"localhost is up":     {"cat /proc/net/dev | grep -c lo:", "1\n"},
		"threads and forking": {"perl -e 'for(1..20){fork||exit} while(wait()>0){} print \"ok\\n\"'", "ok\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := sh(t, sb, c.script); got.stdout != c.want {
				t.Errorf("stdout %q, stderr %q, exit %+v; want %q", got.stdout, got.stderr, got.Exit, c.want)
			}
		})
	}
}

func TestASandboxEndsWithoutATrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, sb := w.start(t, bubblewrap.Spec{})
	sh(t, sb, "setsid sleep 1000 > /dev/null 2>&1 &")
	before := processesOf(t, s)
	if len(before) < 2 {
		t.Fatalf("processes %v", before)
	}
	s.Kill()
	for _, pid := range before {
		if _, err := os.Stat("/proc/" + pid); err == nil {
			state, _ := os.ReadFile("/proc/" + pid + "/stat")
			if !strings.Contains(string(state), ") Z") {
				t.Errorf("process %s is left", pid)
			}
		}
	}
}

// processesOf lists those in the sandbox's pid namespace.
func processesOf(t testing.TB, s *bubblewrap.Sandbox) (pids []string) {
	t.Helper()
	want, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", s.PID()))
	if err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if got, err := os.Readlink("/proc/" + e.Name() + "/ns/pid"); err == nil && got == want {
			pids = append(pids, e.Name())
		}
	}
	return pids
}

func partOf(path string, total uint64) sandboxes.Part {
	return sandboxes.Part{Path: path, Upload: fmt.Sprintf("u-%d", numbers.Add(1)), Commit: true, Total: total}
}

func commandOf(argv ...string) sandboxes.Command {
	return sandboxes.Command{ID: fmt.Sprintf("p-%d", numbers.Add(1)), Argv: argv}
}

func streamsOf(take func(sandboxes.Chunk) error) sandboxes.Streams {
	return sandboxes.Streams{Output: take}
}

func TestAStrictUmaskKeepsNoSandboxOut(t *testing.T) {
	// The umask is the whole process's, so this test is not parallel.
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	_, sb := newWorld(t).start(t, bubblewrap.Spec{})
	if got := sh(t, sb, "echo inside").stdout; got != "inside\n" {
		t.Errorf("it says %q", got)
	}
}
