// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// descriptors are a new process's ends of its streams, and ours.
type descriptors struct {
	theirs  []int // to be closed after the fork; -1 is none
	stdin   int
	stdout  int
	stderr  int
	input   *os.File
	outputs []*os.File
	tty     *os.File
}

func (d *descriptors) closeTheirs() {
	for _, fd := range d.theirs {
		unix.Close(fd)
	}
	d.theirs = nil
}

func (d *descriptors) closeOurs() {
	if d.input != nil {
		d.input.Close()
	}
	for _, f := range d.outputs {
		f.Close()
	}
}

func openDescriptors(spec *Spec) (d *descriptors, err error) {
	d = &descriptors{}
	defer func() {
		if err != nil {
			d.closeTheirs()
			d.closeOurs()
		}
	}()
	if spec.TTY != nil {
		ours, theirs, err := openTTY(*spec.TTY)
		if err != nil {
			return d, err
		}
		d.theirs = append(d.theirs, theirs)
		d.stdin, d.stdout, d.stderr = theirs, theirs, theirs
		d.tty, d.input, d.outputs = ours, ours, []*os.File{ours}
		return d, nil
	}
	if spec.Stdin {
		var pipe [2]int
		if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
			return d, err
		}
		d.theirs = append(d.theirs, pipe[0])
		d.stdin = pipe[0]
		unix.SetNonblock(pipe[1], true)
		d.input = os.NewFile(uintptr(pipe[1]), "stdin")
	} else {
		null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return d, err
		}
		d.theirs = append(d.theirs, null)
		d.stdin = null
	}
	for _, end := range []*int{&d.stdout, &d.stderr} {
		var pipe [2]int
		if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
			return d, err
		}
		d.theirs = append(d.theirs, pipe[1])
		*end = pipe[1]
		unix.SetNonblock(pipe[0], true)
		d.outputs = append(d.outputs, os.NewFile(uintptr(pipe[0]), "output"))
	}
	// A larger pipe is fewer turns for bulk output. Where the guest has used up
	// its user's allowance it stays as it is.
	unix.FcntlInt(uintptr(d.stdout), unix.F_SETPIPE_SZ, pipeSize)
	return d, nil
}

// prepare finds the program, without which path is empty, and opens the streams.
func (m *Manager) prepare(spec *Spec) (path string, d *descriptors, err error) {
	m.starts <- struct{}{}
	defer func() { <-m.starts }()
	if path, err = spec.resolve(); err != nil {
		return "", nil, err
	}
	d, err = openDescriptors(spec)
	return path, d, err
}

// start forks the leader and sets everything about it going.
func (m *Manager) start(p *Process) error {
	path, d, err := m.prepare(&p.spec)
	if path == "" {
		return err
	}
	if err != nil {
		return forkError(path, err)
	}
	attributes := &syscall.ProcAttr{
		Dir:   p.spec.Dir,
		Env:   p.spec.Env,
		Files: []uintptr{uintptr(d.stdin), uintptr(d.stdout), uintptr(d.stderr)},
		Sys:   &syscall.SysProcAttr{Setsid: true, Setctty: d.tty != nil, Ctty: 0},
	}
	p.tty, p.input = d.tty, d.input
	if d.input != nil {
		p.stdin = newStdinQueue()
	}
	p.start = time.Now()
	p.idle = p.start
	pid, err := m.fork(p, path, attributes)
	d.closeTheirs()
	if err != nil {
		d.closeOurs()
		if err == syscall.ENOENT || err == syscall.ENOTDIR || err == syscall.EACCES {
			if _, e := os.Stat(p.spec.Dir); e != nil {
				return refuse(Invalid, "working directory: %w", e)
			}
		}
		return forkError(path, err)
	}
	if m.options.GuestOOMScore != 0 {
		// The kernel, too, should end the guest rather than sandboxd.
		setOOMScore(pid, m.options.GuestOOMScore)
	}

	for i, f := range d.outputs {
		p.pumps.Add(1)
		m.group.Go(func() {
			more := func() bool {
				defer p.pumps.Done()
				return p.pump(Stream(i), f)
			}()
			if more {
				m.discard(p, f)
			}
			f.Close()
		})
	}
	if p.stdin != nil {
		m.group.Go(func() {
			p.stdin.copyTo(p.input, func() {
				if p.tty != nil {
					p.tty.Write([]byte{4}) // EOF of a terminal in its ordinary mode
				} else {
					p.input.Close()
				}
			})
			if p.tty == nil {
				p.input.Close()
			}
		})
	}
	m.group.Go(p.supervise)
	m.group.Go(func() {
		p.finish(d.outputs)
		m.ended(p)
	})
	return nil
}

// setOOMScore fails if the process is gone already.
func setOOMScore(pid, score int) {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	unix.Write(fd, strconv.AppendInt(nil, int64(score), 10))
}

const (
	// forkPatience is how long a fork waits for a pid: those of guests that end
	// come back one by one.
	forkPatience = 500 * time.Millisecond
	// endPatience is the same once a guest was ended that had them all.
	endPatience = 5 * time.Second
)

func (m *Manager) fork(p *Process, path string, attributes *syscall.ProcAttr) (int, error) {
	deadline := time.Now().Add(forkPatience)
	for ; ; time.Sleep(5 * time.Millisecond) {
		pid, err := m.reaper.start(p, func() (pid int, err error) {
			done := make(chan struct{})
			fork := func() {
				defer close(done)
				if pid, err = syscall.ForkExec(path, p.spec.Argv, attributes); err == nil {
					m.yield(pid)
				}
			}
			defer m.births.end(m.births.begin())
			select {
			case m.forks <- fork:
			case <-m.over:
				return 0, syscall.ESHUTDOWN
			}
			<-done
			p.pid = pid
			return pid, err
		})
		if err != syscall.EAGAIN || time.Now().After(deadline) {
			return pid, err
		}
		if m.options.Exhausted != nil && m.options.Exhausted() {
			deadline = time.Now().Add(endPatience)
		}
	}
}

// discard keeps reading what a leader's leftovers write, so that they neither
// wait nor die of it, as long as there are not too many of them.
func (m *Manager) discard(p *Process, f *os.File) {
	if p.tty != nil {
		return // closing it hangs them up, as closing a terminal does
	}
	select {
	case m.discards <- struct{}{}:
		defer func() { <-m.discards }()
	default:
		return
	}
	f.SetReadDeadline(time.Time{})
	buffer := make([]byte, 4<<10)
	for {
		if _, err := f.Read(buffer); err != nil {
			return
		}
	}
}
