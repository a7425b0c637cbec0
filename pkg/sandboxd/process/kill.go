// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"time"
)

// relative is a line of /proc/PID/stat as far as it says who belongs to whom.
type relative struct {
	pid, parent, group, session int
	zombie, stopped             bool
}

// family finds the leader's group, its session and its descendants. A descendant
// that left all three, a daemon that forked twice, is out of reach of this; it
// ends with the sandbox.
func family(leader int) []int {
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
	var pids []int
	for _, r := range all {
		if member[r.pid] && !r.zombie && r.pid != os.Getpid() {
			pids = append(pids, r.pid)
		}
	}
	return pids
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

func parseStat(pid int) (relative, bool) {
	line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return relative{}, false
	}
	// The name is the guest's own choice: what follows its last parenthesis is not.
	end := bytes.LastIndexByte(line, ')')
	if end < 0 {
		return relative{}, false
	}
	fields := bytes.Fields(line[end+1:])
	if len(fields) < 4 {
		return relative{}, false
	}
	number := func(i int) int { n, _ := strconv.Atoi(string(fields[i])); return n }
	return relative{pid: pid, zombie: fields[0][0] == 'Z', stopped: fields[0][0] == 'T', parent: number(1), group: number(2), session: number(3)}, true
}

// signalFamily signals everybody who belongs to the leader. The caller makes sure
// that the leader is unreaped.
func signalFamily(leader int, sig syscall.Signal) {
	members := family(leader)
	syscall.Kill(-leader, sig)
	for _, pid := range members {
		if g, err := syscall.Getpgid(pid); err != nil || g != leader {
			syscall.Kill(pid, sig)
		}
	}
}

// killFamily leaves nobody of the leader's family alive: who forks between the
// look and the blow is found by the next look.
func killFamily(leader int) {
	for range 50 {
		members := family(leader)
		syscall.Kill(-leader, syscall.SIGKILL)
		if len(members) == 0 {
			return
		}
		for _, pid := range members {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(time.Millisecond)
	}
}
