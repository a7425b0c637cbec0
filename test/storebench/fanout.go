// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/features"
	"k8s.io/apiserver/pkg/storage"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
)

// runFanOut measures how long an event takes to reach many watchers, with
// writes at a fixed pace, on the raw store and through the watch cache.
func (b *bench) runFanOut(ctx context.Context, watchers, perSecond int) error {
	for _, cached := range []bool{false, true} {
		kind := "raw"
		if cached {
			kind = "cached"
		}
		fmt.Fprintf(b.out, "\nfan-out, %s: %d watchers, %d writes/s for %v\n", kind, watchers, perSecond, b.fanOut)
		for _, name := range b.names {
			if name == nameKine {
				continue // its own limit is far below
			}
			latencies, lost, cpu, err := b.fanOutOnce(ctx, name, watchers, perSecond, cached)
			if err != nil {
				return fmt.Errorf("fan-out of %s, %s: %w", name, kind, err)
			}
			p50, p99 := percentile(latencies, 50), percentile(latencies, 99)
			fmt.Fprintf(b.out, "  %-9s %8d events, p50 %8.3f ms, p99 %8.3f ms, max %8.3f ms, CPU %6.2f us/event, %d not delivered in time\n",
				name, len(latencies), ms(p50), ms(p99), ms(percentile(latencies, 100)), micros(cpu), lost)
			prefix := fmt.Sprintf("%swatch_%d_%s", b.prefix, watchers, kind)
			if name != nameOurs {
				prefix += "_" + name
			}
			b.figure(prefix+"_p50_ms", ms(p50), "ms")
			b.figure(prefix+"_p99_ms", ms(p99), "ms")
			b.figure(prefix+"_cpu_us", micros(cpu), "us/event")
			b.figure(prefix+"_undelivered", float64(lost), "events")
		}
	}
	return nil
}

func (b *bench) fanOutOnce(ctx context.Context, name string, watchers, perSecond int, cached bool) (all []time.Duration, lost int, cpu time.Duration, err error) {
	// Our server turns this off, Kubernetes' has it on.
	gate := map[string]bool{string(features.ConcurrentWatchObjectDecode): name != nameOurs}
	if err := utilfeature.DefaultMutableFeatureGate.SetFromMap(gate); err != nil {
		return nil, 0, 0, err
	}
	c, err := b.openers[name](ctx, filepath.Join(b.dir, fmt.Sprintf("fanout-%s-%t", name, cached)))
	if err != nil {
		return nil, 0, 0, err
	}
	defer c.close()
	store := c.store
	if cached {
		cachedStore, stop, _, err := c.cached(ctx)
		if err != nil {
			return nil, 0, 0, err
		}
		defer stop()
		store = cachedStore
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rv, err := store.GetCurrentResourceVersion(ctx)
	if err != nil {
		return nil, 0, 0, err
	}
	latencies := make([][]time.Duration, watchers)
	var seen atomic.Int64
	var receiving sync.WaitGroup
	opened := make([]watch.Interface, watchers)
	for i := range watchers {
		w, err := store.Watch(ctx, resourcePrefix, storage.ListOptions{
			ResourceVersion: strconv.FormatUint(rv, 10), Predicate: storage.Everything, Recursive: true,
		})
		if err != nil {
			return nil, 0, 0, err
		}
		opened[i] = w
	}
	for i, w := range opened {
		receiving.Go(func() {
			for event := range w.ResultChan() {
				// A watch cache sends a wrapper that many watchers share.
				pod, ok := event.Object.(metav1.Object)
				if !ok || event.Type != watch.Added {
					continue
				}
				sent, err := strconv.ParseInt(pod.GetAnnotations()[annotationSent], 10, 64)
				if err == nil {
					latencies[i] = append(latencies[i], time.Duration(time.Now().UnixNano()-sent))
					seen.Add(1)
				}
			}
		})
	}
	cpu = -c.cpu()
	var written atomic.Int64
	var failure atomic.Pointer[error]
	var writing sync.WaitGroup
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	for end := time.Now().Add(b.fanOut); time.Now().Before(end); <-tick.C {
		writing.Go(func() {
			key, pod := object("fanout")
			if err := c.store.Create(ctx, key, pod, nil, 0); err != nil {
				failure.Store(&err)
				return
			}
			written.Add(1)
		})
	}
	tick.Stop()
	writing.Wait()
	// Whoever cannot keep up is given a while.
	want := written.Load() * int64(watchers)
	for end := time.Now().Add(10 * time.Second); seen.Load() < want && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	cpu += c.cpu()
	cancel()
	for _, w := range opened {
		w.Stop()
	}
	receiving.Wait()
	if err := failure.Load(); err != nil {
		return nil, 0, 0, errors.Join(errors.New("writing"), *err)
	}
	all = slices.Concat(latencies...)
	slices.Sort(all)
	return all, int(want) - len(all), cpu / time.Duration(max(len(all), 1)), nil
}
