// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/exec"

	"safebeam.dev/safebeam/pkg/apiserver/servertest"
)

// A protocol is one of the ways in which client-go's executors speak.
type protocol struct {
	name      string
	halfClose bool
	executor  func(t testing.TB, s *servertest.Server, address *url.URL) remotecommand.Executor
}

func webSocket(protocols ...string) func(testing.TB, *servertest.Server, *url.URL) remotecommand.Executor {
	return func(t testing.TB, s *servertest.Server, address *url.URL) remotecommand.Executor {
		executor, err := remotecommand.NewWebSocketExecutorForProtocols(s.Client, http.MethodGet, address.String(), protocols...)
		if err != nil {
			t.Fatal(err)
		}
		return executor
	}
}

func spdy(t testing.TB, s *servertest.Server, address *url.URL) remotecommand.Executor {
	executor, err := remotecommand.NewSPDYExecutor(s.Client, http.MethodPost, address)
	if err != nil {
		t.Fatal(err)
	}
	return executor
}

var protocols = []protocol{
	{"WebSocket v5", true, webSocket("v5.channel.k8s.io")},
	{"WebSocket v4", false, webSocket("v4.channel.k8s.io")},
	{"SPDY v4", true, spdy},
}

// execURL is where a command is run in the sandbox.
func execURL(s *servertest.Server, sandbox string, options remotecommand.StreamOptions, argv ...string) *url.URL {
	query := url.Values{"command": argv}
	for name, wanted := range map[string]bool{"stdin": options.Stdin != nil, "stdout": options.Stdout != nil, "stderr": options.Stderr != nil, "tty": options.Tty} {
		if wanted {
			query.Set(name, "true")
		}
	}
	address, err := url.Parse(s.Client.Host + "/apis/llmsafespace.dev/v1/namespaces/" + namespace + "/sandboxes/" + sandbox + "/exec?" + query.Encode())
	if err != nil {
		panic(err)
	}
	return address
}

func (p protocol) exec(t testing.TB, s *servertest.Server, sandbox string, options remotecommand.StreamOptions, argv ...string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
	defer cancel()
	return p.executor(t, s, execURL(s, sandbox, options, argv...)).StreamWithContext(ctx, options)
}

func TestExec(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Settings{Sandboxes: true})
	s.NewSandbox(t, namespace, "box")
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			t.Run("keeps the streams apart and their order", func(t *testing.T) {
				t.Parallel()
				var stdout, stderr bytes.Buffer
				if err := p.exec(t, s, "box", remotecommand.StreamOptions{Stdout: &stdout, Stderr: &stderr},
					"sh", "-c", "for i in 1 2 3; do echo o$i; echo e$i >&2; done"); err != nil {
					t.Error(err)
				}
				if stdout.String() != "o1\no2\no3\n" || stderr.String() != "e1\ne2\ne3\n" {
					t.Errorf("%q, %q", stdout.String(), stderr.String())
				}
			})
			t.Run("hands over arguments as they are", func(t *testing.T) {
				t.Parallel()
				arguments := []string{"a\nb", "", "$(reboot) `id` \"'", "ü\t\x01", "--", "-e", "%s"}
				var stdout bytes.Buffer
				if err := p.exec(t, s, "box", remotecommand.StreamOptions{Stdout: &stdout}, append([]string{"printf", `%s\0`}, arguments...)...); err != nil {
					t.Error(err)
				}
				if got, want := stdout.String(), strings.Join(arguments, "\x00")+"\x00"; got != want {
					t.Errorf("%q, not %q", got, want)
				}
			})
			t.Run("tells the exit code", func(t *testing.T) {
				t.Parallel()
				for _, tc := range []struct {
					argv []string
					code int
				}{
					{[]string{"true"}, 0},
					{[]string{"sh", "-c", "exit 3"}, 3},
					{[]string{"sh", "-c", "kill -9 $$"}, 137},
					{[]string{"/nowhere/at-all"}, 127},
					{[]string{"/etc/passwd"}, 126},
				} {
					var stderr bytes.Buffer
					err := p.exec(t, s, "box", remotecommand.StreamOptions{Stdout: io.Discard, Stderr: &stderr}, tc.argv...)
					var exit exec.CodeExitError
					if err != nil && !errors.As(err, &exit) || exit.Code != tc.code {
						t.Errorf("%q: %d, %v", tc.argv, exit.Code, err)
					}
					if tc.code == 126 || tc.code == 127 {
						if !strings.Contains(stderr.String(), tc.argv[0]) {
							t.Errorf("%q: nothing says what is wrong: %q", tc.argv, stderr.String())
						}
					}
				}
			})
			t.Run("carries stdin", func(t *testing.T) {
				t.Parallel()
				const size = 3<<20 + 17
				given := sha256.New()
				stdout := sha256.New()
				argv := []string{"cat"}
				if !p.halfClose { // its end cannot be told: the command has to know it
					argv = []string{"head", "-c", fmt.Sprint(size)}
				}
				if err := p.exec(t, s, "box", remotecommand.StreamOptions{Stdin: io.TeeReader(io.LimitReader(&pattern{}, size), given), Stdout: stdout}, argv...); err != nil {
					t.Error(err)
				}
				if got, want := stdout.Sum(nil), given.Sum(nil); !bytes.Equal(got, want) {
					t.Error("what came out is not what went in")
				}
			})
			t.Run("does not wait for stdin that the command does not read", func(t *testing.T) {
				t.Parallel()
				var stdout bytes.Buffer
				stdin := &pattern{}
				if err := p.exec(t, s, "box", remotecommand.StreamOptions{Stdin: stdin, Stdout: &stdout}, "sh", "-c", "exec 0</dev/null; sleep 0.3; echo over"); err != nil {
					t.Error(err)
				}
				if stdout.String() != "over\n" {
					t.Errorf("%q", stdout.String())
				}
			})
			t.Run("loses nothing", func(t *testing.T) {
				t.Parallel()
				const size = 96 << 20
				stdout, want := &summed{Hash: sha256.New()}, sha256.New()
				if err := p.exec(t, s, "box", remotecommand.StreamOptions{Stdout: stdout}, "sh", "-c", fmt.Sprintf("yes 0123456789abcde | head -c %d", size)); err != nil {
					t.Error(err)
				}
				line := bytes.Repeat([]byte("0123456789abcde\n"), 1<<16)
				for range size / len(line) {
					want.Write(line)
				}
				if stdout.size != size || !bytes.Equal(stdout.Sum(nil), want.Sum(nil)) {
					t.Errorf("%d bytes came of %d, or not these", stdout.size, size)
				}
			})
			t.Run("gives a terminal", func(t *testing.T) {
				t.Parallel()
				stdin, typed := io.Pipe()
				screen := &screen{}
				sizes := sizes(make(chan remotecommand.TerminalSize, 2))
				done := make(chan error, 1)
				go func() {
					done <- p.exec(t, s, "box", remotecommand.StreamOptions{Stdin: stdin, Stdout: screen, Tty: true, TerminalSizeQueue: sizes}, "sh")
				}()
				sizes <- remotecommand.TerminalSize{Width: 101, Height: 33}
				for _, tc := range []struct{ line, shown string }{
					{"test -t 0 && echo 'is a 'tty", "is a tty"},
					{"echo $TERM", "xterm"},
					{"until [ \"$(stty size)\" = '33 101' ]; do sleep 0.01; done; stty size", "33 101\r\n"},
				} {
					fmt.Fprintln(typed, tc.line)
					screen.await(t, tc.shown)
				}
				sizes <- remotecommand.TerminalSize{Width: 60, Height: 20}
				fmt.Fprintln(typed, "until [ \"$(stty size)\" = '20 60' ]; do sleep 0.01; done; stty size")
				screen.await(t, "20 60\r\n")
				fmt.Fprintln(typed, "exit 5")
				var exit exec.CodeExitError
				if err := <-done; !errors.As(err, &exit) || exit.Code != 5 {
					t.Errorf("%v; %s", err, screen)
				}
				typed.Close()
				close(sizes)
			})
		})
	}
}

// Whoever goes away takes their command along.
func TestCommandEndsWithItsClient(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Settings{Sandboxes: true})
	box := s.NewSandbox(t, namespace, "box")
	for i, p := range protocols {
		pidFile := filepath.Join(box.Workspace, fmt.Sprint("pid-", i))
		ctx, leave := context.WithCancel(t.Context())
		options := remotecommand.StreamOptions{Stdout: io.Discard}
		done := make(chan error, 1)
		go func() {
			done <- p.executor(t, s, execURL(s, "box", options, "sh", "-c", "echo $$ >"+pidFile+".new; mv "+pidFile+".new "+pidFile+"; exec sleep 600")).StreamWithContext(ctx, options)
		}()
		var pid int
		await(t, func() bool {
			select {
			case err := <-done:
				t.Fatalf("%s: the command has ended: %v", p.name, err)
			default:
			}
			written, err := os.ReadFile(pidFile)
			if err == nil {
				pid, err = strconv.Atoi(strings.TrimSpace(string(written)))
			}
			return err == nil
		})
		leave()
		if err := <-done; err == nil {
			t.Errorf("%s: the command ended", p.name)
		}
		await(t, func() bool { return ended(pid) })
	}
}

func TestManyExecsAtOnce(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Settings{Sandboxes: true})
	s.NewSandbox(t, namespace, "box")
	var group sync.WaitGroup
	for i := range 96 {
		group.Go(func() {
			p := protocols[i%len(protocols)]
			var stdout bytes.Buffer
			if err := p.exec(t, s, "box", remotecommand.StreamOptions{Stdout: &stdout}, "sh", "-c", fmt.Sprintf("sleep 0.2; echo %d", i)); err != nil {
				t.Errorf("%s: %v", p.name, err)
			}
			if stdout.String() != fmt.Sprintln(i) {
				t.Errorf("%q, not %d", stdout.String(), i)
			}
		})
	}
	group.Wait()
}

// ended reports whether a process is no more, or waits to be reaped.
func ended(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := strings.Cut(string(stat), ") ")
	return err != nil || strings.HasPrefix(state, "Z")
}

// pattern is stdin without end.
type pattern struct{ at int }

func (p *pattern) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(p.at * 7 >> 3)
		p.at++
	}
	return len(b), nil
}

type summed struct {
	hash.Hash
	size int
}

func (s *summed) Write(p []byte) (int, error) {
	s.size += len(p)
	return s.Hash.Write(p)
}

type sizes chan remotecommand.TerminalSize

func (s sizes) Next() *remotecommand.TerminalSize {
	size, ok := <-s
	if !ok {
		return nil
	}
	return &size
}

// screen is what a terminal shows.
type screen struct {
	mu    sync.Mutex
	shown bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.String()
}

func (s *screen) await(t testing.TB, text string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(s.String(), text); {
		if time.Now().After(deadline) {
			t.Fatalf("%q is not shown: %q", text, s.String())
		}
		time.Sleep(time.Millisecond)
	}
}

func await(t testing.TB, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to be")
		}
		time.Sleep(time.Millisecond)
	}
}
