// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// relative is a line of /proc/PID/stat as far as it says who belongs to whom.
type relative struct {
	pid, parent, group, session int
	state                       byte
	threads                     int
}

// stopped reports whether a thread has stopped, of its own or for a tracer: of a
// process, its first.
func (r relative) stopped() bool { return r.state == 'T' || r.state == 't' }

// ended reports whether nothing is left of it but its exit status. The first thread of
// a process may end before the others.
func (r relative) ended() bool { return r.state == 'X' || r.state == 'Z' && r.threads <= 1 }

// family finds the leader's group, its session and its descendants. A descendant
// that left all three, a daemon that forked twice, is out of reach of this; it
// ends with the sandbox.
func family(leader int) []relative {
	looks <- struct{}{}
	defer func() { <-looks }()
	all := relatives()
	member := map[int]bool{leader: true}
	for grew := true; grew; {
		grew = false
		for _, r := range all {
			if !member[r.pid] && (r.group == leader || r.session == leader || member[r.parent]) {
				member[r.pid] = true
				grew = true
			}
		}
	}
	return slices.DeleteFunc(all, func(r relative) bool { return !member[r.pid] || r.ended() || r.pid == os.Getpid() })
}

// looks bounds those who read /proc at one time: each holds a thread.
var looks = make(chan struct{}, 2)

func relatives() []relative {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1)
	var all []relative
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if r, ok := parseStat(pid); ok {
			all = append(all, r)
		}
	}
	return all
}

func parseStat(pid int) (relative, bool) { return readStat(directory(pid)) }

// directory is the process's in /proc.
func directory(pid int) string { return "/proc/" + strconv.Itoa(pid) }

// readStat reads the stat of a process, or of a thread, from its directory.
func readStat(dir string) (relative, bool) {
	line, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return relative{}, false
	}
	// The name is the guest's own choice: what follows its last parenthesis is not.
	begin, end := bytes.IndexByte(line, ' '), bytes.LastIndexByte(line, ')')
	if begin < 0 || end < 0 {
		return relative{}, false
	}
	fields := bytes.Fields(line[end+1:])
	if len(fields) < 18 {
		return relative{}, false
	}
	number := func(i int) int { n, _ := strconv.Atoi(string(fields[i])); return n }
	pid, _ := strconv.Atoi(string(line[:begin]))
	return relative{pid: pid, state: fields[0][0], parent: number(1), group: number(2), session: number(3), threads: number(17)}, true
}

// signalFamily signals everybody who belongs to the leader. The caller makes sure
// that the leader is unreaped.
func signalFamily(leader int, sig syscall.Signal) {
	members := family(leader)
	syscall.Kill(-leader, sig)
	for _, m := range members {
		if g, err := syscall.Getpgid(m.pid); err != nil || g != leader {
			syscall.Kill(m.pid, sig)
		}
	}
}

// killFamily leaves nobody of the leader's family alive. They are stopped before any
// of them is killed: a child that is born between the look and the blow, and goes into
// a session of its own, would be nobody's once its parent is dead.
func killFamily(leader int) {
	if !stopFamily(leader) {
		return
	}
	for range 50 {
		members := family(leader)
		syscall.Kill(-leader, syscall.SIGKILL)
		if len(members) == 0 {
			return
		}
		for _, m := range members {
			syscall.Kill(m.pid, syscall.SIGKILL)
		}
		time.Sleep(time.Millisecond)
	}
}

const (
	// stopTime is how long a family may take to stop, whose turn comes late where many
	// want the processors, or that others of the guest tell to go on.
	stopTime = 10 * time.Second
	// waitTime is the same for those who wait in the kernel and may do so for ever: a
	// parent for its child, say, that has its memory until its exec.
	waitTime = 100 * time.Millisecond
)

// stopFamily stops the leader's family, and reports whether there is one. All that
// there are have stopped once a look finds nobody who had not stopped before it: who
// has stopped has no more children.
func stopFamily(leader int) bool {
	syscall.Kill(-leader, syscall.SIGSTOP)
	before := map[int]bool{} // who was found to have stopped
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		members := family(leader)
		wait := stopAll(members, before, began.Add(stopTime))
		if wait == 0 || time.Since(began) > wait {
			return len(members) > 0
		}
	}
}

// stopAll stops those who have not stopped, and notes who has. It returns how long to
// wait for them: not at all if all have, and had when they were looked for.
func stopAll(members []relative, before map[int]bool, deadline time.Time) (wait time.Duration) {
	looks <- struct{}{}
	defer func() { <-looks }()
	known := map[int]bool{}
	for _, m := range members {
		known[m.pid] = true
	}
	for _, m := range members {
		had, has := before[m.pid], m.hasStopped()
		before[m.pid] = has
		switch {
		case !has && m.state == 'D':
			wait = max(wait, waitTime)
		case !had || !has:
			wait = stopTime
		}
		if !has {
			stopDescent(m.pid, known, deadline)
		}
	}
	return wait
}

// stopDescent stops a process, and its descendants that nobody knows: one that goes on
// in its child again and again would be ahead of every look at all that there are.
func stopDescent(pid int, known map[int]bool, deadline time.Time) {
	for next := []int{pid}; len(next) > 0 && time.Now().Before(deadline); next = next[1:] {
		syscall.Kill(next[0], syscall.SIGSTOP)
		for _, child := range children(next[0]) {
			if !known[child] {
				known[child] = true
				next = append(next, child)
			}
		}
	}
}

// hasStopped reports whether no thread of a process runs: each stops by itself.
func (r relative) hasStopped() bool {
	if r.threads <= 1 {
		return r.stopped()
	}
	for _, task := range tasks(r.pid) {
		if t, ok := readStat(task); ok && !t.stopped() && t.state != 'Z' && t.state != 'X' {
			return false
		}
	}
	return true
}

// tasks are the directories of a process's threads.
func tasks(pid int) (directories []string) {
	dir := directory(pid) + "/task"
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		directories = append(directories, dir+"/"+e.Name())
	}
	return directories
}

// children are those of all threads of a process; none where the kernel does not say.
func children(pid int) (pids []int) {
	for _, task := range tasks(pid) {
		list, _ := os.ReadFile(task + "/children")
		for _, field := range bytes.Fields(list) {
			if child, err := strconv.Atoi(string(field)); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}
