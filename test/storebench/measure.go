// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// sample is what one contender did in one round of one scenario.
type sample struct {
	ops       int64
	errors    int64
	perSecond float64
	p50, p99  time.Duration
	// cpu is what client and server spent on an operation.
	cpu time.Duration
	// syncs is fsyncs an operation, where the engine counts them.
	syncs float64
}

// operation does one unit of work, the n-th of the given worker.
type operation func(ctx context.Context, worker, n int) error

// drive runs op by concurrent workers for a duration.
func drive(ctx context.Context, c *contender, workers int, duration time.Duration, op operation) sample {
	ctx, cancel := context.WithTimeout(ctx, duration+30*time.Second)
	defer cancel()
	latencies := make([][]time.Duration, workers)
	var failed atomic.Int64
	var syncs int64
	if c.db != nil {
		syncs = c.db.Stats().Syncs
	}
	cpu := c.cpu()
	start := time.Now()
	end := start.Add(duration)
	var running sync.WaitGroup
	for w := range workers {
		running.Go(func() {
			for n := 0; ; n++ {
				begun := time.Now()
				if begun.After(end) {
					return
				}
				if err := op(ctx, w, n); err != nil {
					failed.Add(1)
					continue
				}
				latencies[w] = append(latencies[w], time.Since(begun))
			}
		})
	}
	running.Wait()
	elapsed := time.Since(start)
	all := slices.Concat(latencies...)
	slices.Sort(all)
	s := sample{ops: int64(len(all)), errors: failed.Load(), p50: percentile(all, 50), p99: percentile(all, 99)}
	s.perSecond = float64(s.ops) / elapsed.Seconds()
	if s.ops > 0 {
		s.cpu = (c.cpu() - cpu) / time.Duration(s.ops)
		if c.db != nil {
			s.syncs = float64(c.db.Stats().Syncs-syncs) / float64(s.ops)
		}
	}
	return s
}

// percentile of sorted values; 0 if there are none.
func percentile[T any](sorted []T, p float64) (v T) {
	if len(sorted) == 0 {
		return v
	}
	return sorted[min(len(sorted)-1, int(float64(len(sorted))*p/100))]
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
