// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/apis/example"
)

// runOnline measures what a writer notices of the work that a store does on
// itself while it runs: the longest of its creates during each, and, to compare
// with, without any.
func (b *bench) runOnline(ctx context.Context, objects int) error {
	c, err := openOurs(ctx, filepath.Join(b.dir, "online"))
	if err != nil {
		return err
	}
	defer c.close()
	if _, err := fill(ctx, c, objects, 64); err != nil {
		return err
	}
	if err := c.db.Checkpoint(ctx); err != nil {
		return err
	}
	fmt.Fprintf(b.out, "\npauses of one writer to a store of %d objects\n", objects)
	for _, during := range []struct {
		name string
		work func() error
	}{
		{"nothing", func() error { time.Sleep(b.duration); return nil }},
		{"checkpoint", func() error { return c.db.Checkpoint(ctx) }},
		{"defragment", func() error { _, err := c.db.Defragment(ctx); return err }},
		{"compact", func() error {
			if err := c.db.Compact(ctx, c.db.Revision()); err != nil {
				return err
			}
			return c.db.Checkpoint(ctx)
		}},
		{"snapshot", func() error { _, err := c.db.Snapshot(ctx, io.Discard); return err }},
	} {
		begun := time.Now()
		took, err := creating(ctx, c, during.work)
		if err != nil {
			return fmt.Errorf("during %s: %w", during.name, err)
		}
		longest := percentile(took, 100)
		fmt.Fprintf(b.out, "  %-10s %8.0f ms, %6d creates, p50 %7.3f ms, p99 %7.3f ms, longest %8.3f ms\n",
			during.name, ms(time.Since(begun)), len(took), ms(percentile(took, 50)), ms(percentile(took, 99)), ms(longest))
		b.figure(b.prefix+"online_"+during.name+"_longest_ms", ms(longest), "ms")
	}
	return nil
}

// creating makes objects one after the other while work runs and returns,
// sorted, how long each took.
func creating(ctx context.Context, c *contender, work func() error) (took []time.Duration, err error) {
	stop := make(chan struct{})
	var failure error
	var writing sync.WaitGroup
	writing.Go(func() {
		for {
			key, pod := object("online")
			begun := time.Now()
			if failure = c.store.Create(ctx, key, pod, &example.Pod{}, 0); failure != nil {
				return
			}
			took = append(took, time.Since(begun))
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	err = work()
	close(stop)
	writing.Wait()
	slices.Sort(took)
	return took, errors.Join(err, failure)
}
