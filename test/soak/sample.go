// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// sample is what the store needs at one moment, in MB where it is bytes.
type sample struct {
	at         time.Duration
	heap, rss  float64
	goroutines int
	// live is what is stored and not deleted: keys, values, journal records.
	live float64
	// checkpoint and log are the files; written is what has gone into the log
	// so far.
	checkpoint, log, written float64
	writes, reads            int64
}

const mb = 1e6

func (s sample) disk() float64 { return s.checkpoint + s.log }

func (s sample) String() string {
	return fmt.Sprintf("%8s  heap %5.0f MB  RSS %5.0f MB  live %5.1f MB  checkpoint %5.0f MB  log %5.0f MB  goroutines %3d  writes %9d  reads %9d",
		s.at.Round(time.Second), s.heap, s.rss, s.live, s.checkpoint, s.log, s.goroutines, s.writes, s.reads)
}

func take(load *load) sample {
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	stats := load.db.Stats()
	s := sample{
		heap: float64(memory.HeapInuse) / mb, goroutines: runtime.NumGoroutine(),
		live: float64(load.live.Load()) / mb, checkpoint: float64(stats.CheckpointBytes) / mb,
		log: float64(stats.LogBytes) / mb, written: float64(stats.RecordBytes) / mb,
		writes: load.writes.Load(), reads: load.reads.Load(),
	}
	// Mapped pages of the checkpoint come and go with the page cache.
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		for line := range strings.Lines(string(status)) {
			if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
				var kb float64
				_, _ = fmt.Sscan(rest, &kb)
				s.rss = kb * 1024 / mb
			}
		}
	}
	return s
}
