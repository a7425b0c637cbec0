// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// The laws of a long run. The files have bounds that hold at every moment:
//
//   - The checkpoint is at most checkpointTimes what is live, or smallCheckpoint:
//     a larger file of which more than half is free is defragmented, and the used
//     pages of a B+tree that is changed all over are about two thirds full.
//   - The log is at most what was written to it within the retention, and a
//     little more: it is looked at every half minute, given up by whole segments,
//     and some segments are held ready.
//
// Memory and goroutines have none that follows from the load, so they have to
// level off: the last third of a run needs at most mayGrow times what the second
// third did. The first third is for history and caches to fill.
const (
	checkpointTimes = 4
	smallCheckpoint = 64 << 20 / mb
	logDelay        = 90 * time.Second
	logSegments     = 6 * 16 << 20 / mb
	mayGrow         = 1.25
)

// report prints the figures and returns what was broken.
func report(out io.Writer, samples []sample, retention time.Duration) error {
	n := len(samples) / 3
	if n == 0 {
		return errors.New("the run was too short to tell anything")
	}
	last := samples[2*n:]
	for _, f := range []struct {
		name, unit string
		of         func(sample) float64
	}{
		{"heap", "MB", heap}, {"rss_anon", "MB", rss}, {"goroutines", "goroutines", goroutines},
		{"disk", "MB", sample.disk}, {"log", "MB", func(s sample) float64 { return s.log }},
		{"checkpoint", "MB", func(s sample) float64 { return s.checkpoint }},
		{"live", "MB", func(s sample) float64 { return s.live }},
	} {
		fmt.Fprintf(out, "figure soak_%s %.1f %s\n", f.name, highest(last, f.of), f.unit)
	}
	fmt.Fprintf(out, "figure soak_writes %d writes\n", samples[len(samples)-1].writes)
	return errors.Join(boundedFiles(samples, retention), levelOff(samples[n:2*n], last))
}

func boundedFiles(samples []sample, retention time.Duration) error {
	for i, s := range samples {
		if most := max(checkpointTimes*s.live, smallCheckpoint); s.checkpoint > most {
			return fmt.Errorf("after %v the checkpoint takes %.0f MB for %.0f MB of live data, may take %.0f", s.at, s.checkpoint, s.live, most)
		}
		begin := 0.0
		for _, before := range samples[:i] {
			if before.at <= s.at-retention-logDelay {
				begin = before.written
			}
		}
		if most := s.written - begin + logSegments; s.log > most {
			return fmt.Errorf("after %v the log takes %.0f MB, of which %.0f MB were written within the retention; may take %.0f", s.at, s.log, s.written-begin, most)
		}
	}
	return nil
}

func levelOff(middle, last []sample) error {
	var errs []error
	for _, q := range []struct {
		name string
		of   func(sample) float64
	}{{"the heap", heap}, {"anonymous memory", rss}, {"the number of goroutines", goroutines}} {
		before, after := highest(middle, q.of), highest(last, q.of)
		if after > before*mayGrow {
			errs = append(errs, fmt.Errorf("%s grew from %.0f to %.0f", q.name, before, after))
		}
	}
	return errors.Join(errs...)
}

func heap(s sample) float64       { return s.heap }
func rss(s sample) float64        { return s.rss }
func goroutines(s sample) float64 { return float64(s.goroutines) }

func highest(samples []sample, of func(sample) float64) (highest float64) {
	for _, s := range samples {
		highest = max(highest, of(s))
	}
	return highest
}
