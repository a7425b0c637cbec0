// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Command sandboxbench measures sandboxes: through the API of a standalone server,
// as users and client-go meet them, and below it, from the gateway to the process.
// It needs bwrap, and the programs that make build makes.
//
//	go run ./test/sandboxbench [-short] [-only api,execution,output,files,cold,memory,below] [-bin DIR]
//
// Besides what people read it prints one line a figure: figure NAME VALUE UNIT.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	n := flag.Int("n", 500, "execs one after another")
	short := flag.Bool("short", false, "fewer samples, for a look")
	only := flag.String("only", "", "comma-separated parts: exec, execution, output, files, cold, memory, below")
	bin := flag.String("bin", "bin", "the directory with safebeam and sandboxd")
	agent := flag.String("sandboxd", "", "sandboxd to measure below the API; default: that of -bin")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *bin, *agent, *only, *n, *short); err != nil {
		fmt.Fprintln(os.Stderr, "sandboxbench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin, agent, only string, n int, short bool) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	if agent == "" {
		agent = filepath.Join(bin, "sandboxd")
	}
	// On this disk, as a server's data would be; sandboxes look into it as other
	// users.
	dir, err := os.MkdirTemp("/var/tmp", "sandboxbench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("load %s", load)
	if short {
		n = min(n, 100)
	}
	wanted := func(part string) bool { return only == "" || slices.Contains(strings.Split(only, ","), part) }
	parts := []struct {
		name string
		run  func(context.Context, *api, int, bool) error
	}{
		{"exec", execs}, {"execution", executions}, {"output", output}, {"files", files}, {"cold", cold}, {"memory", memory},
	}
	if slices.ContainsFunc(parts, func(p struct {
		name string
		run  func(context.Context, *api, int, bool) error
	}) bool {
		return wanted(p.name)
	}) {
		a, err := startServer(ctx, bin, dir)
		if err != nil {
			return err
		}
		defer a.stop()
		for _, part := range parts {
			if !wanted(part.name) {
				continue
			}
			fmt.Printf("\n== %s\n", part.name)
			if err := part.run(ctx, a, n, short); err != nil {
				return fmt.Errorf("%s: %w", part.name, err)
			}
		}
		a.stop()
	}
	if !wanted("below") {
		return nil
	}
	fmt.Printf("\n== below\n")
	return below(dir, agent, n)
}

func figure(name string, value float64, unit string) {
	fmt.Printf("figure %s %.3g %s\n", name, value, unit)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// percentiles prints the median and the 99th percentile.
func percentiles(name string, times []time.Duration) {
	slices.Sort(times)
	figure(name+"_p50_ms", milliseconds(times[len(times)/2]), "ms")
	figure(name+"_p99_ms", milliseconds(times[len(times)*99/100]), "ms")
}
