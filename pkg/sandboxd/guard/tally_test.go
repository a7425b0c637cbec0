// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// procDir is a /proc with a process of some threads for each number.
func procDir(t *testing.T, threads ...int) string {
	files := map[string]string{"self": "", "uptime": "1 1\n", "12monkeys": ""}
	for i, n := range threads {
		files[fmt.Sprintf("%d/stat", i+1)] = fmt.Sprintf("%d (a) b) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 %d 0 0\n", i+1, n)
	}
	return cgroupDir(t, files)
}

func TestTheTallyIsNeverBelowWhatThereIs(t *testing.T) {
	type look struct {
		last   string // line of loadavg
		enough uint64
		want   uint64
	}
	const there = 5 // processes, with 9 threads
	for name, looks := range map[string][]look{
		"a first look counts":                     {{"0 0 0 1/9 100", 100, 9}},
		"nobody has begun since":                  {{"0 0 0 1/9 100", 100, 9}, {"0 0 0 1/9 100", 100, 9}},
		"those who have begun since are added":    {{"0 0 0 1/9 100", 100, 9}, {"0 0 0 1/9 150", 100, 59}},
		"and counted if they may be too many":     {{"0 0 0 1/9 100", 100, 9}, {"0 0 0 1/9 191", 100, 9}},
		"and added to that count":                 {{"0 0 0 1/9 100", 100, 9}, {"0 0 0 1/9 191", 100, 9}, {"0 0 0 1/9 192", 100, 10}},
		"threads do not matter beyond enough":     {{"0 0 0 1/9 100", there, there}},
		"one that has to be exact is":             {{"0 0 0 1/9 100", 100, 9}, {"0 0 0 1/9 150", 0, 9}},
		"numbers that began anew say nothing":     {{"0 0 0 1/9 30000", 100, 9}, {"0 0 0 1/9 12", 100, 9}},
		"nor does a kernel that gives no numbers": {{"0 0 0 0/0 0", 100, 9}, {"0 0 0 0/0 0", 100, 9}},
		"nor a line of something else":            {{"", 100, 9}, {"", 100, 9}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := procDir(t, 1, 4, 1, 2, 1)
			file := filepath.Join(dir, "loadavg")
			os.WriteFile(file, nil, 0o644)
			tally := newTally(dir)
			for i, l := range looks {
				if err := os.WriteFile(file, []byte(l.last+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
				if got := tally.count(l.enough); got != l.want {
					t.Errorf("look %d: %d, want %d", i+1, got, l.want)
				}
			}
		})
	}
}

func TestTheTallyFollowsTheRealProc(t *testing.T) {
	tally := newTally("/proc")
	before := tally.count(1 << 40)
	var all []*exec.Cmd
	for range 20 {
		cmd := exec.Command("sleep", "100")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, cmd)
	}
	// Others on the machine come and go; those who have gone are counted until the
	// next count.
	if after := tally.count(1 << 40); after < before+20 {
		t.Errorf("%d, and after 20 more %d", before, after)
	}
	for _, cmd := range all {
		cmd.Process.Kill()
		cmd.Wait()
	}
}

func TestAllAreVisitedAfterABurst(t *testing.T) {
	dir := procDir(t, 1, 1, 1)
	file := filepath.Join(dir, "loadavg")
	set := func(last int) { os.WriteFile(file, fmt.Appendf(nil, "0 0 0 1/9 %d\n", last), 0o644) }
	set(100)
	tally := newTally(dir)
	for i, step := range []struct{ last, visits int }{{100, 0}, {100 + burst - 1, 0}, {100 + burst, 3}, {100 + burst, 0}, {100 + 2*burst, 3}, {7, 3}, {8, 0}} {
		set(step.last)
		visits := 0
		tally.inBurst(func(int) { visits++ })
		if visits != step.visits {
			t.Errorf("step %d: %d visits, want %d", i+1, visits, step.visits)
		}
	}
}

func TestALookAtATallyOfManyCostsOneRead(t *testing.T) {
	var many []int
	for range 2000 {
		many = append(many, 1)
	}
	dir := procDir(t, many...)
	os.WriteFile(filepath.Join(dir, "loadavg"), []byte("0 0 0 1/9 5000\n"), 0o644)
	tally := newTally(dir)
	tally.count(1 << 20)
	if n := testing.AllocsPerRun(100, func() { tally.count(1 << 20) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	// What is not looked at may as well be gone.
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "load") {
			os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
	if n := tally.count(1 << 20); n != 2000 {
		t.Errorf("%d", n)
	}
}

func TestExhaustionEndsTheGuestThatHasThePids(t *testing.T) {
	for name, c := range map[string]struct {
		pids string
		want bool
	}{"a guest with many": {"500\n", true}, "one with few": {"20\n", false}} {
		t.Run(name, func(t *testing.T) {
			ends := 0
			g := New(Options{
				CgroupDir: cgroupDir(t, map[string]string{"pids.current": c.pids, "pids.max": "100000\n"}),
				EndGuest:  func(Reason, string) int { ends++; return 1 },
			})
			if got := g.Exhausted(); got != c.want || (ends == 1) != c.want {
				t.Errorf("%v, %d ends", got, ends)
			}
			// The dead have not given back theirs yet: that is no second reason.
			if g.Exhausted() || ends > 1 {
				t.Errorf("ended again: %d", ends)
			}
			if usage := g.usage; c.want && (usage.Kills != 1 || usage.LastReason != "pids: 500 in use and none left, the guest is ended") {
				t.Errorf("usage %+v", usage)
			}
		})
	}
}
