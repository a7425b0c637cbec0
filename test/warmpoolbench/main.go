// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Command warmpoolbench measures warm pools of a standalone server: how long a
// create takes that answers Running, one after another, at a rate and in bursts,
// what a claim costs the store and the API, and how fast pools refill. It does so
// twice. With local pods, which are real sandboxes of processes, everything shares
// the machine: what a burst takes is also what starting the pods that make up for
// it takes. With fake pods, the names of whose figures end in _fakepods before the
// quantile, all is real but their processes: what the store, the allocator and the
// API take where the pods start on other machines. It prints lines of the form
//
//	figure NAME VALUE UNIT
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

func main() {
	if was, err := becomeAnother(); was {
		if err != nil {
			fmt.Fprintln(os.Stderr, os.Args[1]+":", err)
			os.Exit(1)
		}
		return
	}
	bin := flag.String("bin", "bin", "directory of safebeam and sandboxd")
	short := flag.Bool("short", false, "fewer of everything")
	rate := flag.Float64("rate", 45, "creates per second of the Poisson arrivals")
	duration := flag.Duration("duration", time.Minute, "how long they arrive")
	prefilled := flag.Bool("prefilled", false, "as many pods before the Poisson arrivals as will be needed, and none made meanwhile: claims alone, without the starts of pods beside them")
	n := flag.Int("n", 500, "creates one after another")
	only := flag.String("only", "", "names of sections, with commas; default: all")
	kinds := flag.String("pods", string(localPods)+","+string(fakePods), "kinds of pods, with commas")
	flag.Parse()
	if *short {
		*n, *duration = 100, 10*time.Second
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	for kind := range strings.SplitSeq(*kinds, ",") {
		if err := run(ctx, *bin, pods(kind), *n, *rate, *duration, *short, *prefilled, *only); err != nil {
			fmt.Fprintln(os.Stderr, "warmpoolbench:", err)
			os.Exit(1)
		}
	}
}

func run(ctx context.Context, bin string, pods pods, n int, rate float64, duration time.Duration, short, prefilled bool, only string) error {
	load, _ := os.ReadFile("/proc/loadavg")
	what := map[string]string{string(localPods): "local sandboxes, on the same machine", string(fakePods): "fake, all but their processes is real"}[string(pods)]
	if what == "" {
		return fmt.Errorf("there are no %q pods: local or fake", pods)
	}
	fmt.Printf("machine: %d CPUs, %s, load %spods: %s\n", runtime.NumCPU(), runtime.Version(), load, what)
	b, err := start(ctx, bin, pods)
	if err != nil {
		return err
	}
	defer b.stop()
	bursts := []int{50, 100, 300}
	if short {
		bursts = []int{50, 100}
	}
	for _, section := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"cost", func(ctx context.Context) error { return b.cost(ctx, 50) }},
		{"sequential", func(ctx context.Context) error { return b.sequential(ctx, n) }},
		{"result", func(ctx context.Context) error { return b.firstResult(ctx, n/2) }},
		{"poisson", func(ctx context.Context) error { return b.poisson(ctx, rate, duration, prefilled) }},
		{"bursts", func(ctx context.Context) error { return b.bursts(ctx, bursts) }},
	} {
		if only != "" && !strings.Contains(","+only+",", ","+section.name+",") {
			continue
		}
		if pods == fakePods && (section.name == "result" || section.name == "cost") {
			continue // they run nothing, and cost the store the same
		}
		if err := section.run(ctx); err != nil {
			return fmt.Errorf("%s: %w\n%s", section.name, err, b.log())
		}
		b.tellCold()
	}
	return nil
}
