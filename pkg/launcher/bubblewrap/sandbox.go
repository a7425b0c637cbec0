// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bubblewrap

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const socketName = "gateway.sock"

// startTimeout is how long bwrap may take to lay everything out.
const startTimeout = 20 * time.Second

// goneTimeout is how long the kernel may take to end a namespace.
const goneTimeout = 10 * time.Second

// A Sandbox is one that was started.
type Sandbox struct {
	spec   Spec
	cmd    *exec.Cmd
	pid    int // sandboxd's, outside
	mu     sync.Mutex
	pidfd  int // the same, safe from another process getting that number; -1 when gone
	cgroup *cgroup
	log    *tail
	// dialled is closed when sandboxd first connects to its socket.
	dialled chan struct{}
	done    chan struct{}
	err     error
}

// Name is the spec's.
func (s *Sandbox) Name() string { return s.spec.Name }

// PID is sandboxd's as the machine sees it.
func (s *Sandbox) PID() int { return s.pid }

// Limits says which limits the kernel enforces by cgroup, "memory", "pids", "cpu".
// The others are rlimits' and sandboxd's own.
func (s *Sandbox) Limits() []string { return s.cgroup.enforced }

// Dialled is closed when sandboxd has started and dials: what its start costs is
// spent but for the greeting.
func (s *Sandbox) Dialled() <-chan struct{} { return s.dialled }

// Done is closed when nothing of the sandbox is left.
func (s *Sandbox) Done() <-chan struct{} { return s.done }

// Err is why it ended, once Done is closed: what bwrap or sandboxd said last.
func (s *Sandbox) Err() error { return s.err }

// Kill ends the sandbox and everything in it, and returns when it is gone.
func (s *Sandbox) Kill() {
	s.kill()
	<-s.done
}

// kill takes PID 1, and with it every process of the namespace.
func (s *Sandbox) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pidfd >= 0 {
		unix.PidfdSendSignal(s.pidfd, unix.SIGKILL, nil, 0)
		s.cmd.Process.Kill()
	}
}

// gone waits until PID 1 has died, which it does after everybody else inside.
func (s *Sandbox) gone() {
	poll := []unix.PollFd{{Fd: int32(s.pidfd), Events: unix.POLLIN}}
	deadline := time.Now().Add(goneTimeout)
	for time.Now().Before(deadline) {
		if n, err := unix.Poll(poll, int(time.Until(deadline).Milliseconds())); n > 0 || err != nil && err != unix.EINTR {
			return
		}
	}
}

// Start starts a sandbox. It lives until Kill, until ctx is over, or until sandboxd
// ends by itself.
func (l *Launcher) Start(ctx context.Context, spec Spec) (*Sandbox, error) {
	if err := spec.complete(); err != nil {
		return nil, err
	}
	uid, err := l.takeUID()
	if err != nil {
		return nil, err
	}
	s := &Sandbox{spec: spec, log: &tail{}, dialled: make(chan struct{}), done: make(chan struct{})}
	ctx, cancel := context.WithCancel(ctx)
	s.cgroup = makeCgroup(l.options.StateDir, spec.Name, limits{memory: spec.MemoryBytes + spec.DiskBytes, pids: spec.Pids, milliCPU: spec.MilliCPU})
	served, err := l.listen(ctx, s, uid)
	if err != nil {
		cancel()
		s.cgroup.remove()
		l.freeUID(uid)
		return nil, err
	}
	cleanup := func() {
		cancel()
		<-served
		s.cgroup.remove()
		os.RemoveAll(l.dir(spec.Name))
		l.freeUID(uid)
	}
	started := make(chan error, 1)
	go func() {
		// "Dies with its parent" means the thread that started bwrap.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := l.exec(ctx, s, uid); err != nil {
			cleanup()
			started <- err
			return
		}
		started <- nil
		stop := context.AfterFunc(ctx, s.kill)
		err := s.cmd.Wait()
		stop()
		// bwrap may have died before what it watched over.
		s.kill()
		s.gone()
		cleanup()
		s.mu.Lock()
		unix.Close(s.pidfd)
		s.pidfd = -1
		s.mu.Unlock()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, s.log)
		}
		s.err = err
		close(s.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting sandbox %s: %w", spec.Name, err)
	}
	return s, nil
}

// listen makes the sandbox's own socket and has the gateway serve it.
func (l *Launcher) listen(ctx context.Context, s *Sandbox, uid uint32) (served <-chan struct{}, err error) {
	dir := l.dir(s.spec.Name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, socketName)
	listener, err := net.Listen("unix", path)
	if err == nil {
		err = errors.Join(os.Chmod(path, 0o600), l.own(dir, uid), l.own(path, uid))
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.options.Gateway.Serve(ctx, &telling{Listener: listener, dialled: func() error {
			defer close(s.dialled)
			return s.cgroup.started(true)
		}})
	}()
	return done, nil
}

// telling is a listener that tells of the first to dial, before it is heard. If
// that fails nobody is ever heard.
type telling struct {
	net.Listener
	dialled func() error
	once    sync.Once
	failed  error
}

func (t *telling) Accept() (net.Conn, error) {
	conn, err := t.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if t.once.Do(func() { t.failed = t.dialled() }); t.failed != nil {
		conn.Close()
		return nil, t.failed
	}
	return conn, nil
}

func (l *Launcher) own(path string, uid uint32) error {
	if !l.root {
		return nil
	}
	return os.Chown(path, int(uid), int(uid))
}

// credentials are those that bwrap is started with.
func (l *Launcher) credentials(uid uint32) *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if l.root {
		attributes.Credential = &syscall.Credential{Uid: uid, Gid: uid, Groups: []uint32{}}
	}
	return attributes
}

// exec starts bwrap, puts the sandbox under its limits and lets it go.
func (l *Launcher) exec(ctx context.Context, s *Sandbox, uid uint32) error {
	var files descriptors
	defer files.close()
	infoOut, infoIn := files.pipe()
	blockOut, blockIn := files.pipe()
	args := l.args(&s.spec, l.dir(s.spec.Name), s.cgroup, inherited{
		seccomp: files.data(string(l.filter)), info: files.pass(infoIn), block: files.pass(blockOut),
		token: files.data(s.spec.Token), lifeline: files.pass(l.lifeline),
	}, &files)
	if files.err != nil {
		return files.err
	}
	s.cmd = exec.Command(l.options.Bwrap, args...)
	s.cmd.Dir, s.cmd.Env = "/", []string{}
	s.cmd.ExtraFiles = files.inherited
	s.cmd.Stderr = s.log
	s.cmd.SysProcAttr = l.credentials(uid)
	if err := s.cmd.Start(); err != nil {
		return err
	}
	infoIn.Close()
	infoOut.SetReadDeadline(time.Now().Add(startTimeout))
	var info struct {
		Child int `json:"child-pid"`
	}
	if err := json.NewDecoder(infoOut).Decode(&info); err != nil || info.Child == 0 {
		s.abandon()
		return fmt.Errorf("bwrap: %s", s.log)
	}
	s.pid = info.Child
	var err error
	if s.pidfd, err = unix.PidfdOpen(s.pid, 0); err != nil {
		s.abandon()
		return fmt.Errorf("sandboxd: %w: %s", err, s.log)
	}
	// Until sandboxd dials, and no longer when the gateway hears it.
	if err := errors.Join(s.cgroup.add(s.pid), s.cgroup.started(false)); err != nil {
		s.abandon()
		// bwrap may have given up meanwhile, and then says why.
		return fmt.Errorf("%w: %s", err, s.log)
	}
	_, err = blockIn.Write([]byte{1})
	return err
}

// abandon ends bwrap, and the child that it has made and that waits to be let go,
// in its process group. Without bwrap that child would wait for ever, and so would
// whoever waits for the end of what it may write.
func (s *Sandbox) abandon() {
	unix.Kill(-s.cmd.Process.Pid, unix.SIGKILL)
	s.cmd.Wait()
}

// tail keeps the last of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	const most = 4 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if len(t.b) > most {
		t.b = append(t.b[:0], t.b[len(t.b)-most:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(bytes.ToValidUTF8(t.b, []byte("?"))))
}
