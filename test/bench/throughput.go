// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const syncCount = "safebeam_store_log_sync_duration_seconds_count"

// throughput measures turns per second with a provider that answers at once,
// and what a turn of 200 deltas costs in syncs of the disk.
func throughput(ctx context.Context, s *servers, short bool) error {
	const clients = 64
	each := 40
	if short {
		each = 8
	}
	if err := s.addModel(ctx, "fast", shortAnswer, 4, 64); err != nil {
		return err
	}
	if _, err := s.turns(ctx, "warm", "fast", clients, 2); err != nil {
		return err
	}
	before := cpuOf(s.server.Process.Pid)
	took, err := s.turns(ctx, "fast", "fast", clients, each)
	if err != nil {
		return err
	}
	n := clients * each
	cpu := cpuOf(s.server.Process.Pid) - before
	fmt.Printf("%d turns by %d clients: %s, %.2f ms of the server's CPU each\n", n, clients, took.Round(time.Millisecond), milliseconds(cpu)/float64(n))
	figure("turns_per_s", float64(n)/took.Seconds(), "1/s")
	figure("server_cpu_per_turn_ms", milliseconds(cpu)/float64(n), "ms")

	// One after the other, so that no two turns share a sync.
	const deltas = 200
	pace := fmt.Sprintf("paced-%dx20@0", deltas)
	if err := s.addModel(ctx, "long", pace, 1, 8); err != nil {
		return err
	}
	if _, err := s.turns(ctx, "warm-long", "long", 1, 3); err != nil {
		return err
	}
	alone := 100
	if short {
		alone = 20
	}
	time.Sleep(2 * time.Second) // what the warm-up left to be written is written
	first, err := s.metric(ctx, syncCount)
	if err != nil {
		return err
	}
	took, err = s.turns(ctx, "long", "long", 1, alone)
	if err != nil {
		return err
	}
	time.Sleep(2 * time.Second)
	last, err := s.metric(ctx, syncCount)
	if err != nil {
		return err
	}
	fmt.Printf("%d turns of %d deltas one after the other: %s, %.0f syncs\n", alone, deltas, took.Round(time.Millisecond), last-first)
	figure("fsyncs_per_turn", (last-first)/float64(alone), "syncs")
	pid := s.server.Process.Pid
	rss, most := memoryOf(pid, "VmRSS"), memoryOf(pid, "VmHWM")
	fmt.Printf("server, after all turns so far: RSS %.0f MB, %.0f MB at most\n", rss, most)
	figure("throughput_rss_mb", rss, "MB")
	figure("throughput_rss_max_mb", most, "MB")
	return nil
}

// turns runs turns, each client's one after the other in a conversation of its
// own, and returns how long it took.
func (s *servers) turns(ctx context.Context, name, model string, clients, each int) (time.Duration, error) {
	for client := range clients {
		if err := s.addConversation(ctx, fmt.Sprintf("%s-%d", name, client), model); err != nil {
			return 0, err
		}
	}
	errs := make(chan error, clients)
	var group sync.WaitGroup
	begin := time.Now()
	for client := range clients {
		conversation := fmt.Sprintf("%s-%d", name, client)
		group.Go(func() {
			for i := range each {
				turn := fmt.Sprintf("%s-%d", conversation, i)
				if err := s.addTurn(ctx, turn, conversation); err != nil {
					errs <- err
					return
				}
				if err := s.complete(ctx, turn, nil); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	group.Wait()
	took := time.Since(begin)
	close(errs)
	for err := range errs {
		return took, err
	}
	return took, nil
}
