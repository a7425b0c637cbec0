// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// readersCommand is this program in the part of the readers, in a process of
// their own so that their memory is not taken for the server's.
const readersCommand = "readers"

// result is what the readers' process tells.
type result struct {
	Complete int     `json:"complete"`
	Deltas   int     `json:"deltas"`
	GapP50   float64 `json:"gapP50Ms"`
	GapP99   float64 `json:"gapP99Ms"`
	Error    string  `json:"error,omitempty"`
}

// streams runs many turns at once, of conversations of their own, to readers
// in another process.
func streams(ctx context.Context, s *servers, short bool) error {
	turns, deltas, rate, jobs := 1000, 200, 20, 4
	if short {
		turns, deltas = 200, 60
	}
	perJob := turns / jobs
	if err := s.addModel(ctx, "slow", fmt.Sprintf("paced-%dx20@%d", deltas, rate), jobs, perJob); err != nil {
		return err
	}
	var group sync.WaitGroup
	errs := make(chan error, turns)
	slots := make(chan struct{}, 32)
	for i := range turns {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			if err := s.addConversation(ctx, fmt.Sprintf("slow-%d", i), "slow"); err != nil {
				errs <- err
			}
		})
	}
	group.Wait()
	close(errs)
	for err := range errs {
		return err
	}
	idle := memoryOf(s.server.Process.Pid, "VmRSS")
	cpu := cpuOf(s.server.Process.Pid)
	begin := time.Now()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, self, readersCommand, s.kubeconfig, strconv.Itoa(turns))
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	peak := 0.0
	done := make(chan struct{})
	sampled := make(chan struct{})
	go func() {
		defer close(sampled)
		for {
			peak = max(peak, memoryOf(s.server.Process.Pid, "VmRSS"))
			select {
			case <-done:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	var r result
	decodeErr := json.NewDecoder(output).Decode(&r)
	waitErr := command.Wait()
	close(done)
	<-sampled
	if decodeErr != nil || waitErr != nil {
		return fmt.Errorf("readers: %v %v", decodeErr, waitErr)
	}
	took := time.Since(begin)
	fmt.Printf("%d turns at once, %d deltas of 20 bytes at %d/s each, %d jobs of %d turns: %d complete, %d deltas, %s\n",
		turns, deltas, rate, jobs, perJob, r.Complete, r.Deltas, took.Round(10*time.Millisecond))
	fmt.Printf("server: RSS %.0f MB before, %.0f MB at most, %.2f CPUs\n", idle, peak, (cpuOf(s.server.Process.Pid)-cpu).Seconds()/took.Seconds())
	figure(fmt.Sprintf("streams_%d_rss_mb", turns), peak, "MB")
	figure(fmt.Sprintf("streams_%d_complete", turns), float64(r.Complete), "turns")
	figure(fmt.Sprintf("streams_%d_gap_p50_ms", turns), r.GapP50, "ms")
	figure(fmt.Sprintf("streams_%d_gap_p99_ms", turns), r.GapP99, "ms")
	if r.Complete != turns || r.Error != "" {
		return fmt.Errorf("%d of %d turns were read to their end: %s", r.Complete, turns, r.Error)
	}
	return nil
}

// readers creates the turns and reads them all at once.
func readers(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("want KUBECONFIG and a number, got %q", args)
	}
	turns, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", args[0])
	if err != nil {
		return err
	}
	config.QPS = -1
	s := &servers{config: config, api: config.Host + "/apis/tightbeam.dev/v1/namespaces/" + namespace}
	if s.client, err = rest.HTTPClientFor(config); err != nil {
		return err
	}
	ctx := context.Background()
	var mu sync.Mutex
	var r result
	var gaps samples
	var group sync.WaitGroup
	for i := range turns {
		group.Go(func() {
			turn := fmt.Sprintf("slow-%d", i)
			err := s.addTurn(ctx, turn, turn)
			var last time.Time
			var own samples
			deltas := 0
			if err == nil {
				err = s.complete(ctx, turn, func(event *tightbeamv1.TurnEvent, at time.Time) {
					if event.Type != tightbeamv1.TurnEventBlockDelta {
						return
					}
					deltas++
					if !last.IsZero() {
						own = append(own, at.Sub(last))
					}
					last = at
				})
			}
			mu.Lock()
			defer mu.Unlock()
			gaps = append(gaps, own...)
			r.Deltas += deltas
			if err != nil {
				r.Error = err.Error()
			} else {
				r.Complete++
			}
		})
	}
	group.Wait()
	r.GapP50, r.GapP99 = milliseconds(gaps.at(.5)), milliseconds(gaps.at(.99))
	return json.NewEncoder(os.Stdout).Encode(r)
}
