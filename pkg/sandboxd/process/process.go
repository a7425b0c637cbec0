// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// drainTime is how long output is waited for that somebody else than the leader
// holds open after the leader's exit. What was written before the exit is read in
// any case.
const drainTime = 100 * time.Millisecond

// A Process is a leader with its family, its streams and, once it is over, its
// exit.
//
//	Start → running ──leader exits──► draining ──output complete──► done
//	           └─ timeout, Stop, guard: SIGTERM, grace, SIGKILL ─┘
type Process struct {
	spec   Spec
	pid    int
	start  time.Time
	output *outputLog
	stdin  *stdinQueue // nil without stdin
	tty    *os.File    // nil without a terminal
	input  *os.File    // our end of stdin; the terminal if there is one

	stops  chan stop
	leader chan struct{} // closed when the leader was reaped
	done   chan struct{} // closed when exit and output are complete
	pumps  sync.WaitGroup

	mu       sync.Mutex
	reason   Reason // why it is being ended; zero if it is not
	message  string
	reaped   bool
	exit     Exit
	attached *Attachment
	detached bool      // somebody was attached and let go
	idle     time.Time // since when nobody is attached
	released bool
}

type stop struct {
	reason Reason
	grace  time.Duration
}

// ID is the id that the gateway chose.
func (p *Process) ID() string { return p.spec.ID }

// PID is the leader's.
func (p *Process) PID() int { return p.pid }

// StartTime is when the leader was started.
func (p *Process) StartTime() time.Time { return p.start }

// Done is closed when the process is over and its output is complete.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit may be called once Done is closed.
func (p *Process) Exit() Exit { return p.exit }

// Total is how much was written to a stream, kept or not.
func (p *Process) Total(s Stream) uint64 { return p.output.total(s) }

// Stop ends the process and its family. The first reason counts; a later call may
// only shorten the grace.
func (p *Process) Stop(reason Reason, message string, grace time.Duration) {
	p.mu.Lock()
	if p.reason == 0 && !p.reaped {
		p.reason, p.message = reason, message
	}
	p.mu.Unlock()
	select {
	case p.stops <- stop{reason: reason, grace: grace}:
	case <-p.leader:
	}
}

// kill implements child.
func (p *Process) kill() { p.family(killFamily) }

// blame implements child: it records why the leader is about to be killed by somebody else's hand.
func (p *Process) blame(reason Reason, message string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reason == 0 && !p.reaped {
		p.reason, p.message = reason, message
	}
}

// Signal signals the process group.
func (p *Process) Signal(sig syscall.Signal) error {
	if sig <= 0 || sig > 64 {
		return fmt.Errorf("no signal %d", sig)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return os.ErrProcessDone
	}
	return syscall.Kill(-p.pid, sig)
}

// Resize sets the size of the terminal, of which the kernel tells the foreground
// group. It is os.ErrClosed once the terminal has gone with the process.
func (p *Process) Resize(size WindowSize) error {
	if p.tty == nil {
		return errors.New("the process has no terminal")
	}
	control, err := p.tty.SyscallConn()
	if err != nil {
		return err
	}
	var resized error
	if err := control.Control(func(fd uintptr) { resized = resize(int(fd), size) }); err != nil {
		return os.ErrClosed // the one thing that stops it, which it gives no name
	}
	return resized
}

// family signals or kills the leader's family while the leader is unreaped.
func (p *Process) family(act func(leader int)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		act(p.pid)
	}
}

// supervise ends the process when it is time to.
func (p *Process) supervise() {
	var timeout, kill, detach <-chan time.Time
	if p.spec.Timeout > 0 {
		timer := time.NewTimer(p.spec.Timeout)
		defer timer.Stop()
		timeout = timer.C
	}
	if p.spec.Detach > 0 {
		timer := time.NewTicker(max(p.spec.Detach/4, time.Millisecond))
		defer timer.Stop()
		detach = timer.C
	}
	end := func(grace time.Duration) {
		if grace < 0 {
			p.family(killFamily)
			return
		}
		if grace == 0 {
			grace = p.spec.Grace
		}
		p.family(func(leader int) { signalFamily(leader, syscall.SIGTERM) })
		kill = time.After(grace)
	}
	for {
		select {
		case <-p.leader:
			return
		case <-timeout:
			p.blame(TimedOut, fmt.Sprintf("ran longer than %s", p.spec.Timeout))
			end(0)
		case <-detach:
			if p.detachedFor() > p.spec.Detach {
				detach = nil
				p.blame(Detached, fmt.Sprintf("nobody was attached for %s", p.spec.Detach))
				end(0)
			}
		case s := <-p.stops:
			end(s.grace)
		case <-kill:
			p.family(killFamily)
			kill = time.After(time.Second) // who slipped through a fork storm
		}
	}
}

func (p *Process) detachedFor() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.attached != nil {
		return 0
	}
	return time.Since(p.idle)
}

// exiting implements child.
func (p *Process) exiting() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.spec.EndLeftover || p.reason != 0 {
		killFamily(p.pid)
	}
	p.reaped = true
}

// exited implements child.
func (p *Process) exited(status syscall.WaitStatus, usage syscall.Rusage) {
	p.mu.Lock()
	reason := p.reason
	if reason == 0 {
		reason = Finished
	}
	p.exit = newExit(status, usage, reason, p.start, time.Now())
	p.exit.Message = p.message
	p.mu.Unlock()
	close(p.leader)
}

// finish waits for the leader and for its output.
func (p *Process) finish(outputs []*os.File) {
	<-p.leader
	deadline := time.Now().Add(drainTime)
	for _, f := range outputs {
		f.SetReadDeadline(deadline)
	}
	p.pumps.Wait()
	p.output.close()
	if p.stdin != nil {
		p.stdin.close()
	}
	if p.input != nil && p.input != p.tty {
		p.input.Close()
	}
	close(p.done)
}

// pump moves one output into the log until its end, or until the leader has
// exited and what it left in the pipe is read. It reports whether there may be
// more that nobody is interested in.
func (p *Process) pump(s Stream, f *os.File) (more bool) {
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	for {
		end := false
		err := raw.Read(func(fd uintptr) bool {
			n, err := p.move(s, int(fd))
			end = n == 0 || err != nil && err != unix.EAGAIN
			return err != unix.EAGAIN
		})
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			raw.Control(func(fd uintptr) { p.drain(s, int(fd)) })
			return true
		case err != nil || end: // EOF, or EIO of a terminal that nobody holds open
			return false
		}
	}
}

// drain reads what is in the pipe now, at most what a pipe holds: a family that
// goes on writing does not put off the leader's exit.
func (p *Process) drain(s Stream, fd int) {
	for left := pipeSize; left > 0; {
		n, err := p.move(s, fd)
		if n <= 0 || err != nil {
			return
		}
		left -= n
	}
}

// move reads once, without waiting. A buffer is held only when there is something
// in it: a process that says nothing costs none.
func (p *Process) move(s Stream, fd int) (int, error) {
	buffer := buffers.Get().(*[]byte)
	for {
		n, err := unix.Read(fd, *buffer)
		if err == unix.EINTR {
			continue
		}
		if n > 0 {
			p.output.append(s, buffer, n)
		} else {
			buffers.Put(buffer)
		}
		return n, err
	}
}

var buffers = sync.Pool{New: func() any { b := make([]byte, maxChunk); return &b }}

// pipeSize is what we ask of every output pipe.
const pipeSize = 256 << 10
