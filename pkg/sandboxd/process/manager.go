// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sort"
	"sync"
	"syscall"
)

// Options of a Manager.
type Options struct {
	// MaxProcesses bounds the processes that are known, running or not.
	MaxProcesses int
	// GuestOOMScore is written to every leader's oom_score_adj; zero leaves it.
	GuestOOMScore int
	// GuestNice is every leader's nice value; zero leaves it as sandboxd's.
	GuestNice int
	// Exhausted is told that there is no pid left for a process. It reports whether
	// that was changed, so that another try is worthwhile.
	Exhausted func() bool
}

const (
	// DefaultMaxProcesses of a Manager.
	DefaultMaxProcesses = 256
	// MaxProcesses that anybody may configure.
	MaxProcesses = 4096
	// maxEnded bounds those that have ended and that nobody has released or reads.
	maxEnded = 64
	// maxForgotten ids are remembered, so that none of them is run a second time.
	maxForgotten = 1024
	// maxDiscards bounds the outputs that are read for nobody.
	maxDiscards = 64
	// maxStarts bounds those who look for their program at one time: each holds a
	// thread.
	maxStarts = 2
)

// Manager knows every process of the sandbox.
type Manager struct {
	options  Options
	reaper   *reaper
	group    group
	discards chan struct{}
	starts   chan struct{}
	births   *births
	forks    chan func()
	over     chan struct{} // closed when nobody forks any more

	mu        sync.Mutex
	max       int
	processes map[string]*Process // nil while one is being started
	endings   []*Process          // ended and unreleased, oldest first
	forgotten []string            // unreleased when they had to go, oldest first
}

// NewManager makes a manager. Run must be running before Start is called.
func NewManager(options Options) *Manager {
	if options.MaxProcesses <= 0 {
		options.MaxProcesses = DefaultMaxProcesses
	}
	m := &Manager{
		options:   options,
		max:       options.MaxProcesses,
		reaper:    &reaper{children: map[int]child{}},
		discards:  make(chan struct{}, maxDiscards),
		starts:    make(chan struct{}, maxStarts),
		forks:     make(chan func()),
		over:      make(chan struct{}),
		processes: map[string]*Process{},
	}
	m.births = newBirths(m.resumeUnborn)
	return m
}

// Run reaps children until ctx is over, then ends every process and waits for
// everything that the manager started.
func (m *Manager) Run(ctx context.Context) error {
	reaping, stopReaping := context.WithCancel(context.WithoutCancel(ctx))
	var reaped sync.WaitGroup
	reaped.Go(func() { m.reaper.run(reaping) })
	for range m.births.began {
		reaped.Go(func() { m.forkAll(reaping) })
	}
	<-ctx.Done()
	m.EndGuest(Stopped, "sandboxd is ending")
	for _, p := range m.List() {
		p.output.abandon()
		p.Stop(Stopped, "", -1)
	}
	m.group.wait()
	close(m.over)
	stopReaping()
	reaped.Wait()
	return ctx.Err()
}

// SetMaxProcesses changes the bound for processes to come.
func (m *Manager) SetMaxProcesses(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n > 0 {
		m.max = min(n, MaxProcesses)
	}
}

// ErrExists says that the id is taken: the process runs, or ran. Attach to it.
var ErrExists = fmt.Errorf("a process of this id exists")

// Start starts a process, once for each id.
func (m *Manager) Start(spec Spec) (*Process, error) {
	if err := spec.validate(); err != nil {
		return nil, err
	}
	if spec.Grace <= 0 {
		spec.Grace = DefaultGrace
	}
	m.mu.Lock()
	if _, taken := m.processes[spec.ID]; taken || slices.Contains(m.forgotten, spec.ID) {
		m.mu.Unlock()
		return nil, ErrExists
	}
	if len(m.processes)-len(m.endings) >= m.max {
		m.mu.Unlock()
		return nil, refuse(Exhausted, "%d processes are running, which is the limit", m.max)
	}
	m.processes[spec.ID] = nil
	m.mu.Unlock()

	p := &Process{
		spec:   spec,
		output: newOutputLog(spec.Output),
		stops:  make(chan stop),
		leader: make(chan struct{}),
		done:   make(chan struct{}),
	}
	err := m.start(p)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		delete(m.processes, spec.ID)
		return nil, err
	}
	if p.released {
		delete(m.processes, spec.ID)
	} else {
		m.processes[spec.ID] = p
	}
	return p, nil
}

// Forgot reports whether a process of that id ran, and had to go before anybody had
// its end.
func (m *Manager) Forgot(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Contains(m.forgotten, id)
}

// Get returns a process that is known, or nil.
func (m *Manager) Get(id string) *Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.processes[id]
}

// List returns the known processes, oldest first.
func (m *Manager) List() []*Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []*Process
	for _, p := range m.processes {
		if p != nil {
			all = append(all, p)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].start.Before(all[j].start) })
	return all
}

// Running counts the processes that have not ended.
func (m *Manager) Running() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.processes) - len(m.endings)
}

// ended notes that p is over. Of those that nobody releases the oldest go, but none
// whose output is still being read.
func (m *Manager) ended(p *Process) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.released {
		return
	}
	m.endings = append(m.endings, p)
	var left []*Process
	for _, q := range m.endings {
		if q.left() {
			left = append(left, q)
		}
	}
	for ; len(left) > maxEnded; left = left[1:] {
		m.forget(left[0])
		if m.forgotten = append(m.forgotten, left[0].spec.ID); len(m.forgotten) > maxForgotten {
			m.forgotten = slices.Delete(m.forgotten, 0, 1)
		}
	}
}

// Release forgets a process that has ended and whose exit is safe elsewhere.
func (m *Manager) Release(p *Process) {
	select {
	case <-p.done:
	default:
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(p)
}

func (m *Manager) forget(p *Process) {
	p.released = true
	if m.processes[p.spec.ID] == p {
		delete(m.processes, p.spec.ID)
	}
	for i, q := range m.endings {
		if q == p {
			m.endings = append(m.endings[:i], m.endings[i+1:]...)
			break
		}
	}
	p.output.abandon()
}

// EndGuest kills every process of the guest at one blow, and returns how many of
// ours were running. As PID 1 that is everybody in the namespace, known or not,
// and nobody can fork away from it.
func (m *Manager) EndGuest(reason Reason, message string) int {
	first := os.Getpid() == 1
	if first {
		// A fork that is under way may take as long as the guest lets it.
		for _, c := range m.reaper.known() {
			c.blame(reason, message)
		}
		syscall.Kill(-1, syscall.SIGKILL)
	}
	return m.reaper.all(func(leaders []child) {
		for _, c := range leaders {
			c.blame(reason, message)
		}
		if first {
			syscall.Kill(-1, syscall.SIGKILL)
			return
		}
		for _, c := range leaders {
			c.kill()
		}
	})
}

// group is a WaitGroup of the goroutines that a manager owns.
type group struct{ wg sync.WaitGroup }

func (g *group) Go(f func()) { g.wg.Go(f) }
func (g *group) wait()       { g.wg.Wait() }
