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

func TestFiguresAreReadAsTheyArePrinted(t *testing.T) {
	for _, want := range []figure{{"create_1_ratio_etcd", "x", 4.125}, {"fsyncs_per_create_64", "fsyncs/op", 0.03125}, {"nothing", "ops/s", 0}} {
		if got, ok := parseFigure(want.String() + "\n"); !ok || got != want {
			t.Errorf("%q was read as %+v, %t", want, got, ok)
		}
	}
	if f, ok := parseFigure("create_64, 5 rounds of 2s"); ok {
		t.Errorf("read %+v from a line without one", f)
	}
}

func TestAimsAreMetOrMissedByTheirFigures(t *testing.T) {
	var out strings.Builder
	b := bench{out: &out, prefix: "p_", objects: 1000}
	b.figure("p_create_1_ratio_etcd", 4.2, "x")
	b.figure("p_create_64_ratio_etcd", 3.9, "x")
	b.figure("p_fsyncs_per_create_64", 0.05, "fsyncs/op")
	b.figure("p_create_1_p50_ms", 0.3, "ms")
	b.figure("p_disk_fdatasync_p50_ms", 0.1, "ms")
	b.printAims()
	var verdicts []string
	for line := range strings.Lines(out.String()) {
		if i := strings.LastIndexByte(strings.TrimSpace(line), ' '); strings.HasSuffix(line, " met\n") || strings.HasSuffix(line, " missed\n") {
			verdicts = append(verdicts, strings.TrimSpace(line)[i+1:])
		}
	}
	if want := []string{"met", "missed", "missed", "met"}; !slices.Equal(verdicts, want) {
		t.Errorf("%q, want %q:\n%s", verdicts, want, out.String())
	}
}

// TestEveryAimHasItsFigure keeps the names of the two from drifting apart.
func TestEveryAimHasItsFigure(t *testing.T) {
	names := map[string]bool{}
	for _, s := range append(scenarios(), slowScenarios()...) {
		for _, suffix := range []string{"_ratio_etcd", "_p50_ms", "_p99_ratio_etcd", "_cpu_ratio_etcd"} {
			names[s.name+suffix] = true
		}
		names["fsyncs_per_"+s.name] = true
	}
	for _, other := range []string{"disk_fdatasync_p50_ms", "watch_1000_raw_p99_ms", "online_defragment_longest_ms", "online_compact_longest_ms", "objects_7_restart_ms", "objects_7_disk_mb", "objects_7_disk_mb_etcd"} {
		names[other] = true
	}
	for _, a := range (&bench{}).aims(7) {
		if !names[a.figure] || a.over != "" && !names[a.over] {
			t.Errorf("%q has no figure %q or %q", a.what, a.figure, a.over)
		}
	}
}

func TestMemoryFileSystemsAreRefused(t *testing.T) {
	var stat unix.Statfs_t
	if err := unix.Statfs("/dev/shm", &stat); err != nil || stat.Type != unix.TMPFS_MAGIC {
		t.Skip("needs a tmpfs mounted on /dev/shm")
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

func TestTheWriterGoesOnWhileTheStoreWorksOnItself(t *testing.T) {
	var out strings.Builder
	b := bench{out: &out, dir: t.TempDir(), duration: 20 * time.Millisecond}
	if err := b.runOnline(t.Context(), 500); err != nil {
		t.Fatal(err)
	}
	if len(b.figures) != 5 {
		t.Errorf("%d figures:\n%s", len(b.figures), out.String())
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
