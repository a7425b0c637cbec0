// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/apis/example"
	"k8s.io/apiserver/pkg/storage"
)

// scenario is one kind of load. It runs once a round on each contender.
type scenario struct {
	// name is the scenario's in figures.
	name    string
	workers int
	// prepare makes what the load works on, once for each contender. It may
	// be nil.
	prepare func(ctx context.Context, c *contender) (state any, err error)
	op      func(c *contender, state any) operation
	// kine takes part: some loads would take it minutes.
	kine bool
}

func scenarios() []scenario {
	var all []scenario
	for _, workers := range []int{1, 8, 64, 256} {
		all = append(all, scenario{name: fmt.Sprintf("create_%d", workers), workers: workers, op: create, kine: workers == 1 || workers == 64})
	}
	for _, workers := range []int{1, 8, 64, 256} {
		all = append(all, scenario{
			name: fmt.Sprintf("update_%d", workers), workers: workers, prepare: manyObjects(1024), op: update, kine: workers == 1 || workers == 64,
		})
	}
	return append(all,
		scenario{name: "contended_16", workers: 16, prepare: manyObjects(1), op: update, kine: true},
		scenario{name: "get", workers: 1, prepare: manyObjects(1024), op: get, kine: true},
		scenario{name: "get_64", workers: 64, prepare: manyObjects(1024), op: get},
		scenario{name: "list_10000", workers: 1, prepare: listed, op: list(0)},
		scenario{name: "page_500", workers: 1, prepare: listed, op: list(500)},
	)
}

// slowScenarios are those that are run once more where every fsync is slow.
func slowScenarios() []scenario {
	return []scenario{
		{name: "slow_fsync_1", workers: 1, op: create},
		{name: "slow_fsync_64", workers: 64, op: create},
		{name: "slow_fsync_contended_16", workers: 16, prepare: manyObjects(1), op: update},
	}
}

func create(c *contender, _ any) operation {
	return func(ctx context.Context, _, _ int) error {
		key, pod := object("create")
		return c.store.Create(ctx, key, pod, &example.Pod{}, 0)
	}
}

// manyObjects makes objects for workers to share.
func manyObjects(count int) func(context.Context, *contender) (any, error) {
	return func(ctx context.Context, c *contender) (any, error) {
		keys := make([]string, count)
		return keys, concurrently(64, count, func(i int) error {
			key, pod := object("shared")
			keys[i] = key
			return c.store.Create(ctx, key, pod, nil, 0)
		})
	}
}

// update changes one object of the prepared ones, each worker its own as long
// as there are enough. Nothing is known of the object before, as with a
// controller's status write by name.
func update(c *contender, state any) operation {
	keys := state.([]string)
	return func(ctx context.Context, worker, n int) error {
		key := keys[(worker+n*257)%len(keys)]
		return c.store.GuaranteedUpdate(ctx, key, &example.Pod{}, false, nil,
			storage.SimpleUpdate(func(o runtime.Object) (runtime.Object, error) {
				pod := o.(*example.Pod)
				pod.Annotations[annotationSent] = strconv.FormatInt(time.Now().UnixNano(), 10)
				return pod, nil
			}), nil)
	}
}

func get(c *contender, state any) operation {
	keys := state.([]string)
	return func(ctx context.Context, worker, n int) error {
		return c.store.Get(ctx, keys[(worker*31+n)%len(keys)], storage.GetOptions{}, &example.Pod{})
	}
}

// listedNamespace holds exactly the objects that lists are measured on.
const listedNamespace = "listed"

func listed(ctx context.Context, c *contender) (any, error) {
	const count = 10000
	return nil, concurrently(64, count, func(i int) error {
		_, pod := object("listed")
		pod.Namespace = listedNamespace
		return c.store.Create(ctx, resourcePrefix+listedNamespace+"/"+pod.Name, pod, nil, 0)
	})
}

// list reads the objects, or the first page of them.
func list(limit int64) func(*contender, any) operation {
	return func(c *contender, _ any) operation {
		return func(ctx context.Context, _, _ int) error {
			predicate := storage.Everything
			predicate.Limit = limit
			out := &example.PodList{}
			if err := c.store.GetList(ctx, resourcePrefix+listedNamespace+"/", storage.ListOptions{Predicate: predicate, Recursive: true}, out); err != nil {
				return err
			}
			if want := max(int(limit), 500); len(out.Items) < want {
				return fmt.Errorf("%d objects listed", len(out.Items))
			}
			return nil
		}
	}
}

// concurrently runs work for 0 to count-1 and returns the first error.
func concurrently(workers, count int, work func(i int) error) error {
	var group errgroup.Group
	group.SetLimit(workers)
	for i := range count {
		group.Go(func() error { return work(i) })
	}
	return group.Wait()
}
