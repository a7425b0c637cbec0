// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// What is counted for the cost of a claim.
const (
	requests = "apiserver_request_total"
	records  = "safebeam_store_records_total"
	syncs    = "safebeam_store_syncs_total"
)

func figure(name string, value float64, unit string) {
	fmt.Printf("figure %s %s %s\n", name, strconv.FormatFloat(value, 'f', 3, 64), unit)
}

// figure prints one. Those of fake pods are named so, before what is measured of
// it: warm_create_burst50_p50_ms is warm_create_burst50_fakepods_p50_ms.
func (b *bench) figure(subject, measure string, value float64, unit string) {
	if b.pods == fakePods {
		subject += "_fakepods"
	}
	figure(subject+"_"+measure, value, unit)
}

func (b *bench) times(subject string, s samples) {
	b.figure(subject, "p50_ms", milliseconds(s.at(.5)), "ms")
	b.figure(subject, "p99_ms", milliseconds(s.at(.99)), "ms")
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// samples are durations that were measured the same way.
type samples []time.Duration

// at is the quantile q, from 0 to 1, by the nearest rank.
func (s samples) at(q float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func (s samples) tell(name string) {
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("%s: n=%d p50=%s p90=%s p99=%s max=%s, load %s\n", name, len(s), s.at(.5).Round(10*time.Microsecond),
		s.at(.9).Round(10*time.Microsecond), s.at(.99).Round(10*time.Microsecond), s.at(1).Round(10*time.Microsecond), strings.Join(strings.Fields(string(load))[:1], ""))
}

// cost is what claims cost while nothing else goes on: the pool may have no more
// pods, so that none is made.
func (b *bench) cost(ctx context.Context, n int) error {
	if err := b.setPool(ctx, n, n, nil); err != nil {
		return err
	}
	before, err := b.quiet(ctx)
	if err != nil {
		return err
	}
	var names []string
	for range n {
		names = append(names, b.name())
		if _, warm, err := b.create(ctx, b.clients[0], names[len(names)-1]); err != nil || !warm {
			return fmt.Errorf("create: warm is %t: %v", warm, err)
		}
	}
	after, err := b.quiet(ctx)
	if err != nil {
		return err
	}
	per := func(name string) float64 { return (after[name] - before[name]) / float64(n) }
	figure("commits_per_claim", per(records), "commits")
	figure("syncs_per_claim", per(syncs), "syncs")
	figure("requests_per_claim", per(requests), "requests")

	// The whole life: the sandbox ends, and another pod is made.
	for _, name := range names {
		if err := b.remove(ctx, b.clients[0], name); err != nil {
			return err
		}
	}
	if err := b.awaitNone(ctx); err != nil {
		return err
	}
	if err := b.awaitPool(ctx, n); err != nil {
		return err
	}
	if after, err = b.quiet(ctx); err != nil {
		return err
	}
	figure("commits_per_sandbox_life", per(records), "commits")
	figure("requests_per_sandbox_life", per(requests), "requests")
	return nil
}

// quiet waits until nothing is counted any more, but for the asking.
func (b *bench) quiet(ctx context.Context) (map[string]float64, error) {
	last, err := b.counters(ctx)
	if err != nil {
		return nil, err
	}
	for range 100 {
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		now, err := b.counters(ctx)
		if err != nil {
			return nil, err
		}
		if now[records] == last[records] {
			return now, nil
		}
		last = now
	}
	return nil, fmt.Errorf("the server writes and writes")
}

func (b *bench) sequential(ctx context.Context, n int) error {
	if err := b.setPool(ctx, 40, 0, nil); err != nil {
		return err
	}
	var times samples
	cold := 0
	for range n {
		name := b.name()
		took, warm, err := b.create(ctx, b.clients[0], name)
		if err != nil {
			return err
		}
		if warm {
			times = append(times, took)
		} else {
			cold++
		}
		if err := b.remove(ctx, b.clients[0], name); err != nil {
			return err
		}
		// As many as pods can be made for: it is claims that are measured here,
		// not starts.
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	times.tell("create, one after another")
	b.times("warm_create", times)
	b.figure("warm_create", "cold", float64(cold), "sandboxes")
	return b.awaitNone(ctx)
}

// firstResult is from the create to the output of a first echo.
func (b *bench) firstResult(ctx context.Context, n int) error {
	if err := b.setPool(ctx, 40, 0, nil); err != nil {
		return err
	}
	var times samples
	for range n {
		name := b.name()
		began := time.Now()
		_, warm, err := b.create(ctx, b.clients[0], name)
		if err != nil {
			return err
		}
		if warm {
			if err := b.exec(ctx, name); err != nil {
				return fmt.Errorf("the first exec: %w", err)
			}
			times = append(times, time.Since(began))
		}
		if err := b.remove(ctx, b.clients[0], name); err != nil {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	times.tell("create and the result of echo")
	b.times("create_first_result", times)
	return b.awaitNone(ctx)
}

// exec runs echo by client-go's executor, as kubectl would.
func (b *bench) exec(ctx context.Context, name string) error {
	url := b.clients[0].LlmsafespaceV1().RESTClient().Get().Namespace(namespace).Resource("sandboxes").Name(name).SubResource("exec").
		Param("command", "/bin/echo").Param("command", "hello").Param("stdout", "true").URL()
	executor, err := remotecommand.NewWebSocketExecutor(b.config, "GET", url.String())
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &out}); err != nil {
		return err
	}
	if out.String() != "hello\n" {
		return fmt.Errorf("echo said %q", out.String())
	}
	return nil
}

// poisson has sandboxes arrive as strangers do, each of which lives for a second.
func (b *bench) poisson(ctx context.Context, rate float64, duration time.Duration, prefilled bool) error {
	size, most, scaling := 100, 0, &v1.AutoScaling{Enabled: true, ScaleDownDelay: ptr.To[int32](60)}
	if prefilled {
		size = int(rate*duration.Seconds()*1.15) + 1
		most, scaling = size, nil
	}
	if err := b.setPool(ctx, size, most, scaling); err != nil {
		return err
	}
	if err := b.connect(ctx); err != nil {
		return err
	}
	const seed = 45
	random := rand.New(rand.NewPCG(seed, seed))
	var (
		mu    sync.Mutex
		times samples
		cold  int
		errs  []error
		all   sync.WaitGroup
	)
	before := b.processorTime()
	began := time.Now()
	for next := began; next.Sub(began) < duration; next = next.Add(time.Duration(random.ExpFloat64() / rate * float64(time.Second))) {
		time.Sleep(time.Until(next))
		if ctx.Err() != nil {
			break
		}
		name := b.name()
		client := b.clients[b.made%len(b.clients)]
		all.Go(func() {
			took, warm, err := b.create(ctx, client, name)
			mu.Lock()
			switch {
			case err != nil:
				errs = append(errs, err)
			case warm:
				times = append(times, took)
			default:
				cold++
			}
			mu.Unlock()
			if prefilled {
				return // it is removed when all have come
			}
			time.Sleep(time.Second)
			_ = b.remove(ctx, client, name)
		})
	}
	all.Wait()
	if len(errs) > 0 {
		return errs[0]
	}
	times.tell(fmt.Sprintf("create at %g/s", rate))
	perSandbox := (b.processorTime() - before) / time.Duration(max(1, len(times)+cold))
	if err := b.clients[0].LlmsafespaceV1().Sandboxes(namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		return err
	}
	b.times("warm_create_poisson45", times)
	b.figure("warm_create_poisson45", "server_cpu_ms", milliseconds(perSandbox), "ms")
	b.figure("warm_create_poisson45", "hit_percent", float64(len(times))*100/float64(max(1, len(times)+cold)), "percent")
	return b.awaitNone(ctx)
}

// bursts come at once, each on a pool that has that many pods.
func (b *bench) bursts(ctx context.Context, sizes []int) error {
	for _, n := range sizes {
		if err := b.setPool(ctx, n, 0, nil); err != nil {
			return err
		}
		var (
			mu    sync.Mutex
			times samples
			cold  int
			errs  []error
			all   sync.WaitGroup
		)
		if err := b.connect(ctx); err != nil {
			return err
		}
		names := make([]string, n)
		for i := range names {
			names[i] = b.name()
		}
		began := time.Now()
		for i, name := range names {
			all.Go(func() {
				took, warm, err := b.create(ctx, b.clients[i%len(b.clients)], name)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil:
					errs = append(errs, err)
				case warm:
					times = append(times, took)
				default:
					cold++
				}
			})
		}
		all.Wait()
		took := time.Since(began)
		if len(errs) > 0 {
			return errs[0]
		}
		times.tell(fmt.Sprintf("create, %d at once", n))
		subject := fmt.Sprintf("warm_create_burst%d", n)
		b.times(subject, times)
		b.figure(subject, "cold", float64(cold), "sandboxes")
		b.figure(subject, "claims_per_s", float64(len(times))/took.Seconds(), "1/s")
		if err := b.awaitPool(ctx, n); err != nil {
			return err
		}
		b.figure(fmt.Sprintf("warm_refill%d", n), "s", time.Since(began).Seconds(), "s")
		var gone sync.WaitGroup
		for i, name := range names {
			gone.Go(func() { _ = b.remove(ctx, b.clients[i%len(b.clients)], name) })
		}
		gone.Wait()
		if err := b.awaitNone(ctx); err != nil {
			return err
		}
	}
	return nil
}
