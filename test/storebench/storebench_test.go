// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/runtime"
)

func TestRatiosAreThoseOfTheSameRound(t *testing.T) {
	ours := []sample{{perSecond: 100}, {perSecond: 10}, {perSecond: 40}}
	etcd := []sample{{perSecond: 10}, {perSecond: 5}, {perSecond: 10}}
	if got := ratios(ours, etcd, perSecond); !slices.Equal(got, []float64{10, 2, 4}) {
		t.Errorf("ratios %v", got)
	}
	if got := median(ratios(ours, etcd, perSecond)); got != 4 {
		t.Errorf("median %v", got)
	}
}

func TestPercentilesAndMedians(t *testing.T) {
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = i + 1
	}
	for p, want := range map[float64]int{0: 1, 50: 51, 99: 100, 100: 100} {
		if got := percentile(hundred, p); got != want {
			t.Errorf("percentile %v is %d, want %d", p, got, want)
		}
	}
	if got := percentile([]int(nil), 50); got != 0 {
		t.Errorf("percentile of nothing is %d", got)
	}
	if got := median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("median %v", got)
	}
}

func TestSyncsAreCountedOnceEach(t *testing.T) {
	const trace = `101 fdatasync(7) = 0
102 fdatasync(8 <unfinished ...>
101 fsync(9) = -1 EIO (Input/output error)
102 <... fdatasync resumed>) = 0
101 fsync(9) = 0
`
	if got := syncsIn(trace); got != 3 {
		t.Errorf("%d syncs, want 3", got)
	}
}

func TestMemoryFileSystemsAreRefused(t *testing.T) {
	var stat unix.Statfs_t
	if err := unix.Statfs("/dev/shm", &stat); err != nil || stat.Type != unix.TMPFS_MAGIC {
		t.Skip("there is no tmpfs here")
	}
	if err := refuseMemory("/dev/shm"); err == nil {
		t.Error("a tmpfs was accepted")
	}
}

func TestObjectsAreOfTheSizeThatIsSaid(t *testing.T) {
	_, pod := object("test")
	data, err := runtime.Encode(codec, pod)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) < 1000 || len(data) > 1200 {
		t.Errorf("%d bytes", len(data))
	}
}

func TestEveryScenarioRunsOnOurStore(t *testing.T) {
	c, err := openOurs(t.Context(), filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for _, s := range scenarios() {
		var state any
		if s.prepare != nil {
			if state, err = s.prepare(t.Context(), c); err != nil {
				t.Fatalf("%s: %v", s.name, err)
			}
		}
		got := drive(t.Context(), c, s.workers, 20*time.Millisecond, s.op(c, state))
		if got.ops == 0 || got.errors > 0 {
			t.Errorf("%s: %d operations, %d errors", s.name, got.ops, got.errors)
		}
	}
}

func TestAChildDoesItsJobs(t *testing.T) {
	in, jobs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	served := make(chan error, 1)
	go func() { served <- serveJobs(context.Background(), filepath.Join(t.TempDir(), "store"), in, &out) }()
	if err := json.NewEncoder(jobs).Encode(job{Create: true, Count: 10, Workers: 2}); err != nil {
		t.Fatal(err)
	}
	if err := jobs.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	answers := json.NewDecoder(strings.NewReader(out.String()))
	var opened, created result
	if err := answers.Decode(&opened); err != nil {
		t.Fatal(err)
	}
	if err := answers.Decode(&created); err != nil || created.Error != "" || created.Key == "" || created.Syncs == 0 {
		t.Errorf("the child answered %+v, %v", created, err)
	}
}
