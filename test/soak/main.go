// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Command soak keeps a store under mixed load for a long time and looks whether
// it stays as it is: objects made, changed and deleted, journals appended to
// and dropped, watches and lists beside them, compaction and defragmentation
// as they come. It samples memory, the size of the files and the number of
// goroutines, and fails if the last third of the run needs more of one of them
// than the second third did, by more than a quarter.
//
//	go run ./test/soak -duration 4h [-dir DIR]
//
// It prints the samples as they come and, at the end, figure lines.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"safebeam.dev/safebeam/pkg/storage/bbolt"
)

func main() {
	duration := flag.Duration("duration", 4*time.Hour, "how long")
	every := flag.Duration("every", 0, "how often to sample; default: a hundredth of the duration")
	dir := flag.String("dir", "", "the directory of the store; default: a temporary one below _output")
	retention := flag.Duration("retention", 10*time.Minute, "how much history is kept; a run should be several times as long")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *every == 0 {
		*every = max(*duration/100, time.Second)
	}
	if err := run(ctx, *dir, *duration, *every, *retention); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string, duration, every, retention time.Duration) (err error) {
	if dir == "" {
		if err := os.MkdirAll("_output", 0o755); err != nil {
			return err
		}
		if dir, err = os.MkdirTemp("_output", "soak-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	db, err := bbolt.Open(bbolt.Options{Dir: dir, CompactionRetention: retention})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	load := newLoad(db)
	done := make(chan error, 1)
	go func() { done <- load.run(ctx) }()

	var samples []sample
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	begin := time.Now()
	for {
		select {
		case err := <-done:
			if err != nil {
				return err
			}
			return judge(samples)
		case <-ticker.C:
			s := take(dir, load)
			samples = append(samples, s)
			fmt.Printf("%8s  %s\n", time.Since(begin).Round(time.Second), s)
			if err := db.Ready(); err != nil {
				return fmt.Errorf("the store is not ready: %w", err)
			}
		}
	}
}

// sample is what the store needs at one moment.
type sample struct {
	heap, rss, disk float64 // MB
	goroutines      int
	writes, reads   int64
}

func (s sample) String() string {
	return fmt.Sprintf("heap %6.1f MB  RSS %6.1f MB  disk %7.1f MB  goroutines %4d  writes %9d  reads %9d",
		s.heap, s.rss, s.disk, s.goroutines, s.writes, s.reads)
}

func take(dir string, load *load) sample {
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	s := sample{heap: float64(memory.HeapInuse) / 1e6, goroutines: runtime.NumGoroutine(), writes: load.writes.Load(), reads: load.reads.Load()}
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		for line := range strings.Lines(string(status)) {
			if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
				var kb float64
				_, _ = fmt.Sscan(rest, &kb)
				s.rss = kb / 1024
			}
		}
	}
	_ = filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			s.disk += float64(info.Size()) / 1e6
		}
		return nil
	})
	return s
}

// judge compares the last third of a run with the one before. The first third
// is for the history and the caches to fill.
func judge(samples []sample) error {
	n := len(samples) / 3
	if n == 0 {
		return errors.New("the run was too short to tell anything")
	}
	const mayGrow = 1.25
	// Below this a file is not defragmented, and may grow up to it.
	const smallDisk = 600
	middle, last := samples[n:2*n], samples[2*n:]
	var errs []error
	for _, quantity := range []struct {
		name, unit string
		of         func(sample) float64
	}{
		{"heap", "MB", func(s sample) float64 { return s.heap }},
		{"rss_anon", "MB", func(s sample) float64 { return s.rss }},
		{"disk", "MB", func(s sample) float64 { return s.disk }},
		{"goroutines", "goroutines", func(s sample) float64 { return float64(s.goroutines) }},
	} {
		before, after := highest(middle, quantity.of), highest(last, quantity.of)
		fmt.Printf("figure soak_%s %.1f %s\n", quantity.name, after, quantity.unit)
		if quantity.name == "disk" {
			before = max(before, smallDisk)
		}
		if after > before*mayGrow {
			errs = append(errs, fmt.Errorf("%s grew from %.1f to %.1f %s", quantity.name, before, after, quantity.unit))
		}
	}
	fmt.Printf("figure soak_writes %d writes\n", samples[len(samples)-1].writes)
	return errors.Join(errs...)
}

func highest(samples []sample, of func(sample) float64) (highest float64) {
	for _, s := range samples {
		highest = max(highest, of(s))
	}
	return highest
}
