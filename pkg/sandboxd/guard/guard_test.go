// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

func TestTheLineIsAtNinetyPercentOfEitherLimit(t *testing.T) {
	for _, c := range []struct {
		usage Usage
		want  Reason
	}{
		{Usage{}, 0},
		{Usage{Memory: 1 << 40, Pids: 1 << 20}, 0}, // no limit
		{Usage{Memory: 899, MemoryLimit: 1000}, 0},
		{Usage{Memory: 900, MemoryLimit: 1000}, Memory},
		{Usage{Memory: 2000, MemoryLimit: 1000}, Memory},
		{Usage{Pids: 114, PidsLimit: 128}, 0},
		{Usage{Pids: 115, PidsLimit: 128}, Pids},
		{Usage{Memory: 1, MemoryLimit: 1000, Pids: 128, PidsLimit: 128}, Pids},
		{Usage{Memory: 1 << 62, MemoryLimit: 1<<62 + 1<<61}, 0}, // no overflow
	} {
		if got, _ := verdict(c.usage); got != c.want {
			t.Errorf("%+v: %v, want %v", c.usage, got, c.want)
		}
	}
}

func TestALookIsDueBeforeMemoryCanReachTheLine(t *testing.T) {
	for _, limit := range []uint64{64 << 20, 512 << 20, 64 << 30} {
		for percent := uint64(0); percent < 90; percent += 5 {
			u := Usage{Memory: limit / 100 * percent, MemoryLimit: limit}
			grown := u.Memory + uint64(pause(u).Seconds()*fillRate)
			if over(grown, limit+limit/50) && pause(u) > shortest {
				t.Errorf("at %d %% of %d the next look is after %s", percent, limit, pause(u))
			}
		}
	}
}

func TestTheLowerOfTwoLimitsCounts(t *testing.T) {
	for _, c := range [][3]uint64{{0, 0, 0}, {5, 0, 5}, {0, 5, 5}, {3, 5, 3}, {5, 3, 3}} {
		if got := lower(c[0], c[1]); got != c[2] {
			t.Errorf("lower(%d, %d) = %d", c[0], c[1], got)
		}
	}
}

func cgroupDir(t *testing.T, files map[string]string) string {
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestBothVersionsOfCgroupsAreRead(t *testing.T) {
	const stat1 = "cache 5\ntotal_inactive_file 100\ntotal_shmem 50\n"
	const stat2 = "anon 5\ninactive_file 100\nshmem 50\n"
	for name, c := range map[string]struct {
		files      map[string]string
		apart      bool
		used, most uint64
		pids, all  uint64
		limited    bool
	}{
		"version 2":              {map[string]string{"memory.current": "1000\n", "memory.max": "5000\n", "memory.stat": stat2, "pids.current": "7\n", "pids.max": "9\n"}, false, 900, 5000, 7, 9, true},
		"version 2, tmpfs apart": {map[string]string{"memory.current": "1000\n", "memory.max": "5000\n", "memory.stat": stat2, "pids.current": "7\n", "pids.max": "9\n"}, true, 850, 5000, 7, 9, true},
		"version 1":              {map[string]string{"memory/memory.usage_in_bytes": "1000\n", "memory/memory.limit_in_bytes": "5000\n", "memory/memory.stat": stat1, "pids/pids.current": "7\n", "pids/pids.max": "9\n"}, false, 900, 5000, 7, 9, true},
		"version 1, tmpfs apart": {map[string]string{"memory/memory.usage_in_bytes": "1000\n", "memory/memory.limit_in_bytes": "5000\n", "memory/memory.stat": stat1, "pids/pids.current": "7\n", "pids/pids.max": "9\n"}, true, 850, 5000, 7, 9, true},
		"version 1, flat":        {map[string]string{"memory.usage_in_bytes": "1000\n", "memory.limit_in_bytes": "5000\n", "pids.current": "7\n", "pids.max": "9\n"}, false, 1000, 5000, 7, 9, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := findSource(cgroupDir(t, c.files), c.apart)
			used, most := s.memory(exactly)
			pids, all := s.pids(0)
			if used != c.used || most != c.most || pids != c.pids || all != c.all || s.limited() != c.limited {
				t.Errorf("memory %d of %d, pids %d of %d, limited %v", used, most, pids, all, s.limited())
			}
		})
	}
}

func TestALookFarFromTheLineDoesNotAddUp(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct{ current, limit, want uint64 }{
		{120 * mib, 1024 * mib, 120 * mib},
		{500 * mib, 1024 * mib, 500 * mib},
		{900 * mib, 1024 * mib, 800 * mib},
		{980 * mib, 1024 * mib, 880 * mib},
		{120 * mib, 256 * mib, 20 * mib}, // never far
	} {
		g := New(Options{CgroupDir: cgroupDir(t, map[string]string{
			"memory.current": fmt.Sprintln(c.current), "memory.max": fmt.Sprintln(c.limit),
			"memory.stat": fmt.Sprintf("anon 5\ninactive_file %d\n", 100*mib),
		})})
		u := g.look(false)
		if u.Memory != c.want || u.Memory != c.current-100*mib && pause(u) != longest {
			t.Errorf("%d of %d: %d, next look after %s", c.current, c.limit, u.Memory, pause(u))
		}
		if u := g.Usage(); u.Memory != c.current-100*mib {
			t.Errorf("%d of %d: usage says %d", c.current, c.limit, u.Memory)
		}
		if n := testing.AllocsPerRun(100, func() { g.source.memory(exactly) }); n > 0 {
			t.Errorf("a look makes %v allocations", n)
		}
	}
}

func TestACommandMakesNoLookDueThatIsNot(t *testing.T) {
	var looks atomic.Int32
	g := New(Options{MemoryLimit: 1 << 40, CgroupDir: t.TempDir()})
	g.source = countingSource{g.source, &looks}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { g.Run(ctx); close(done) }()
	wakes, started := 0, time.Now()
	for ; time.Since(started) < 4*longest || looks.Load() == 0; wakes++ {
		g.Wake()
		runtime.Gosched()
	}
	cancel()
	<-done
	if n, most := looks.Load(), int32(time.Since(started)/longest)+2; n > most {
		t.Errorf("%d looks in the time of %d, woken %d times", n, most, wakes)
	}
}

type countingSource struct {
	source
	looks *atomic.Int32
}

func (s countingSource) memory(enough func(uint64) uint64) (used, limit uint64) {
	s.looks.Add(1)
	return 0, 0
}

func TestWithoutALimitOfACgroupProcIsCounted(t *testing.T) {
	s := findSource(cgroupDir(t, map[string]string{"memory.current": "1000\n", "memory.max": "max\n", "pids.current": "7\n", "pids.max": "max\n"}), false)
	used, most := s.memory(exactly)
	pids, all := s.pids(0)
	if s.limited() || most != 0 || all != 0 || used < 1<<20 || pids < 2 {
		t.Errorf("memory %d of %d, pids %d of %d", used, most, pids, all)
	}
}

func TestTheGuestIsEndedOnceForEachTime(t *testing.T) {
	dir := cgroupDir(t, map[string]string{"memory.current": "950\n", "memory.max": "1000\n"})
	var kills atomic.Int32
	ended := make(chan string, 10)
	g := New(Options{CgroupDir: dir, EndGuest: func(r Reason, message string) int {
		kills.Add(1)
		// What is dead gives back its memory a little later.
		time.AfterFunc(20*time.Millisecond, func() { os.WriteFile(filepath.Join(dir, "memory.current"), []byte("10\n"), 0o644) })
		ended <- message
		return 1
	}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { g.Run(ctx); close(done) }()
	message := <-ended
	for {
		if u := g.Usage(); u.Memory == 10 && u.Kills == 1 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-done
	if kills.Load() != 1 || message != fmt.Sprintf("memory: 950 of 1000 bytes in use, the guest is ended at %d %%", linePercent) {
		t.Errorf("%d kills, %q", kills.Load(), message)
	}
}

func TestTheGuardRestsWithoutAGuestAndIsThereForTheNext(t *testing.T) {
	dir := cgroupDir(t, map[string]string{"memory.current": "10\n", "memory.max": "1000\n"})
	var guest atomic.Bool
	var asked atomic.Int32
	ended := make(chan string, 10)
	g := New(Options{
		CgroupDir: dir, HasGuest: func() bool { asked.Add(1); return guest.Load() },
		EndGuest: func(_ Reason, message string) int {
			os.WriteFile(filepath.Join(dir, "memory.current"), []byte("10\n"), 0o644)
			ended <- message
			return 1
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { g.Run(ctx); close(done) }()
	// It rests from the first, with one question: when it does not even ask any more.
	for last := int32(-1); asked.Load() < 1 || asked.Load() != last; time.Sleep(2 * lull) {
		last = asked.Load()
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("it asked %d times before it rested", n)
	}
	for range 3 {
		guest.Store(true)
		g.Wake()
		os.WriteFile(filepath.Join(dir, "memory.current"), []byte("950\n"), 0o644)
		<-ended
		guest.Store(false)
	}
	cancel()
	<-done
}
