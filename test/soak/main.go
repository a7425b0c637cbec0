// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Command soak keeps a store under mixed load for a long time and looks whether
// it stays bounded: objects made, changed and deleted, journals appended to and
// dropped, watches and lists beside them, compaction and defragmentation as they
// come. It samples memory, files and goroutines, prints the samples as they
// come, and says in the end which law of verdict.go was broken. Figure lines give
// the levels of the last third.
//
//	go run ./test/soak -duration 4h [-dir DIR]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"safebeam.dev/safebeam/pkg/storage/bbolt"
)

func main() {
	duration := flag.Duration("duration", 4*time.Hour, "how long")
	every := flag.Duration("every", 0, "how often to sample; default: a hundredth of the duration")
	dir := flag.String("dir", "", "the directory of the store; default: a temporary one below _output")
	retention := flag.Duration("retention", 10*time.Minute, "how much history is kept; a run should be several times as long")
	writers := flag.Int("writers", 16, "how many change objects, each about a hundred times a second")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *every == 0 {
		*every = max(*duration/100, time.Second)
	}
	if err := run(ctx, *dir, *duration, *every, *retention, *writers); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string, duration, every, retention time.Duration, writers int) (err error) {
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
	load := newLoad(db, writers)
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
			return report(os.Stdout, samples, retention)
		case <-ticker.C:
			if ctx.Err() != nil {
				continue // the load is ending: it is no sample of it
			}
			s := take(load)
			s.at = time.Since(begin)
			samples = append(samples, s)
			fmt.Println(s)
			if err := db.Ready(); err != nil {
				return fmt.Errorf("the store is not ready: %w", err)
			}
		}
	}
}
