// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"strings"
)

// figure is one result. All of them are printed at the end, so that they can be
// found.
type figure struct {
	name, unit string
	value      float64
}

func (f figure) String() string {
	digits := 3
	if f.value != 0 && math.Abs(f.value) < 0.1 {
		digits = 5
	}
	return fmt.Sprintf("figure %s %.*f %s", f.name, digits, f.value, f.unit)
}

// parseFigure reads what String has printed.
func parseFigure(line string) (f figure, ok bool) {
	n, err := fmt.Sscanf(line, "figure %s %f %s", &f.name, &f.value, &f.unit)
	return f, err == nil && n == 3
}

func (b *bench) figure(name string, value float64, unit string) {
	b.figures = append(b.figures, figure{name: name, value: value, unit: unit})
}

func (b *bench) printFigures() {
	fmt.Fprintln(b.out)
	for _, f := range b.figures {
		fmt.Fprintln(b.out, f)
	}
}

// aim is what a figure should be: at most or at least the bound.
type aim struct {
	what, figure string
	atLeast      bool
	bound        float64
	// over is a figure that the bound is a multiple of, if there is one.
	over string
}

// aims are those of the project, in the order of its table.
func (b *bench) aims(objects int) []aim {
	atLeast := func(what, figure string, bound float64) aim {
		return aim{what: what, figure: figure, bound: bound, atLeast: true}
	}
	atMost := func(what, figure string, bound float64) aim { return aim{what: what, figure: figure, bound: bound} }
	stored := fmt.Sprintf("objects_%d", objects)
	return []aim{
		atLeast("create, 1 writer, times etcd", "create_1_ratio_etcd", 4),
		{what: "  p50 in ms, against twice the disk's own sync", figure: "create_1_p50_ms", bound: 2, over: "disk_fdatasync_p50_ms"},
		atLeast("create, 64 writers, times etcd", "create_64_ratio_etcd", 4),
		atMost("  p99, times etcd's", "create_64_p99_ratio_etcd", 0.4),
		atMost("  CPU of client and server, times etcd's", "create_64_cpu_ratio_etcd", 0.3),
		atLeast("create, 256 writers, times etcd", "create_256_ratio_etcd", 3),
		atMost("  p99, times etcd's", "create_256_p99_ratio_etcd", 0.5),
		atLeast("update, 64 writers, times etcd", "update_64_ratio_etcd", 4.5),
		atLeast("update, 256 writers, times etcd", "update_256_ratio_etcd", 4),
		atLeast("one object, 16 writers, times etcd", "contended_16_ratio_etcd", 10),
		atLeast("get, one client, times etcd", "get_ratio_etcd", 10),
		atLeast("page of 500, times etcd", "page_500_ratio_etcd", 1.4),
		atLeast("create, 1 writer, fsync 2 ms slower, times etcd", "slow_fsync_1_ratio_etcd", 1.4),
		atLeast("create, 64 writers, fsync 2 ms slower, times etcd", "slow_fsync_64_ratio_etcd", 1.8),
		atMost("fsyncs for each create, 1 writer", "fsyncs_per_create_1", 1.02),
		atMost("fsyncs for each create, 64 writers", "fsyncs_per_create_64", 0.06),
		atMost("1,000 raw watches at 100 writes/s, p99 in ms", "watch_1000_raw_p99_ms", 20),
		atMost("longest create during a defragmentation in ms", "online_defragment_longest_ms", 50),
		atMost("longest create during a compaction in ms", "online_compact_longest_ms", 50),
		atMost("first read after kill -9 in ms", stored+"_restart_ms", 1000),
		{what: "disk in MB, against etcd's", figure: stored + "_disk_mb", bound: 1, over: stored + "_disk_mb_etcd"},
	}
}

// printAims says which aims this run has met. It is no verdict: a busy machine
// or a short run misses what a quiet one meets.
func (b *bench) printAims() {
	values := map[string]float64{}
	for _, f := range b.figures {
		values[strings.TrimPrefix(f.name, b.prefix)] = f.value
	}
	fmt.Fprintf(b.out, "\n%-52s %10s %10s\n", "aims", "aim", "seen")
	for _, a := range b.aims(b.objects) {
		value, seen := values[a.figure]
		bound, known := a.bound, true
		if a.over != "" {
			var base float64
			base, known = values[a.over]
			bound *= base
		}
		if !seen || !known {
			continue // the section was not run
		}
		sign, met := "<=", value <= bound
		if a.atLeast {
			sign, met = ">=", value >= bound
		}
		verdict := "met"
		if !met {
			verdict = "missed"
		}
		fmt.Fprintf(b.out, "%-52s %2s %7.4g %10.4g  %s\n", a.what, sign, bound, value, verdict)
	}
}
