// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Command bench measures a standalone server as its users meet it: over HTTPS
// and gRPC, with real jobs, against a fake provider in a process of its own.
// What it compares it measures in one run, interleaved.
//
//	go run ./test/bench [-short] [-only ttft,gap,streams,throughput] [-bin DIR]
//
// Besides what people read it prints one line a figure: figure NAME VALUE UNIT.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == readersCommand {
		if err := readers(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "readers:", err)
			os.Exit(1)
		}
		return
	}
	short := flag.Bool("short", false, "fewer samples, for a look")
	only := flag.String("only", "", "comma-separated parts: ttft, gap, streams, throughput")
	bin := flag.String("bin", "bin", "the directory with safebeam and safebeam-llm-job")
	dir := flag.String("dir", "", "the directory of the server's data; default: a temporary one below _output, on this disk")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *bin, *dir, *only, *short); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin, dir, only string, short bool) error {
	if dir == "" {
		if err := os.MkdirAll("_output", 0o755); err != nil {
			return err
		}
		var err error
		if dir, err = os.MkdirTemp("_output", "bench-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	if err := refuseTmpfs(dir); err != nil {
		return err
	}
	describeMachine()
	s, err := start(bin, dir)
	if err != nil {
		return err
	}
	defer s.stop()
	for _, part := range []struct {
		name string
		run  func(context.Context, *servers, bool) error
		// fresh: what it measures must not depend on what ran before.
		fresh bool
	}{
		{"ttft", ttft, false}, {"gap", gap, false}, {"throughput", throughput, false}, {"streams", streams, true},
	} {
		if only != "" && !slices.Contains(strings.Split(only, ","), part.name) {
			continue
		}
		fmt.Printf("\n== %s\n", part.name)
		if part.fresh {
			s.stopServer()
		}
		if s.server == nil {
			if err := s.startServer(ctx, part.name); err != nil {
				return err
			}
		}
		if err := part.run(ctx, s, short); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}
