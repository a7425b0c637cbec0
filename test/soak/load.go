// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
	"golang.org/x/sync/errgroup"

	"safebeam.dev/safebeam/pkg/journal"
	"safebeam.dev/safebeam/pkg/storage/bbolt"
)

const (
	objects   = 10_000 // keys that are in use, each there or not
	journals  = 500    // owners that are in use
	appenders = 4
	watchers  = 20
	// objectBytes is what a small turn needs.
	objectBytes = 1100
)

// load is the mixed load of a store.
type load struct {
	db            *bbolt.DB
	client        *kubernetes.Client
	writers       int
	writes, reads atomic.Int64
	// live is the bytes that are stored and not deleted.
	live atomic.Int64
}

func newLoad(db *bbolt.DB, writers int) *load {
	return &load{db: db, client: db.Client(), writers: writers}
}

// run loads the store until ctx ends.
func (l *load) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for i := range l.writers {
		group.Go(func() error { return l.until(ctx, i, l.write) })
	}
	for i := range appenders {
		group.Go(func() error { return l.until(ctx, 1000+i, l.append) })
	}
	for i := range watchers {
		group.Go(func() error { return l.until(ctx, 2000+i, l.watch) })
	}
	for i := range 2 {
		group.Go(func() error { return l.until(ctx, 3000+i, l.list) })
	}
	return group.Wait()
}

func (l *load) until(ctx context.Context, seed int, step func(context.Context, *rand.Rand) error) error {
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	for ctx.Err() == nil {
		if err := step(ctx, random); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

func key(i int) string { return fmt.Sprintf("/soak/objects/ns-%02d/object-%05d", i%50, i) }

// write makes, changes or deletes an object, as fast as a busy server would
// and not as fast as it can: the aim is time, not speed.
func (l *load) write(ctx context.Context, random *rand.Rand) error {
	pause(ctx, random, 10*time.Millisecond)
	k := key(random.IntN(objects))
	current, err := l.client.Kubernetes.Get(ctx, k, kubernetes.GetOptions{})
	if err != nil {
		return fmt.Errorf("get %s: %w", k, err)
	}
	l.reads.Add(1)
	revision, grows, succeeded := int64(0), 0, false
	if current.KV != nil {
		revision = current.KV.ModRevision
		grows = -len(k) - len(current.KV.Value)
	}
	if revision != 0 && random.IntN(3) == 0 {
		var response kubernetes.DeleteResponse
		response, err = l.client.Kubernetes.OptimisticDelete(ctx, k, revision, kubernetes.DeleteOptions{})
		succeeded = response.Succeeded
	} else {
		value := make([]byte, objectBytes/2+random.IntN(objectBytes))
		for i := range value {
			value[i] = byte(random.Uint32())
		}
		grows += len(k) + len(value)
		var response kubernetes.PutResponse
		response, err = l.client.Kubernetes.OptimisticPut(ctx, k, value, revision, kubernetes.PutOptions{})
		succeeded = response.Succeeded
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", k, err)
	}
	if succeeded {
		l.live.Add(int64(grows))
	}
	l.writes.Add(1)
	return nil
}

// append lives a turn's journal: some batches, then it is dropped.
func (l *load) append(ctx context.Context, random *rand.Rand) error {
	owner := journal.Owner(fmt.Sprintf("turns/%d-%d/events", random.IntN(journals), random.Uint32()))
	j := l.db.Journal()
	size := int64(0)
	for number := int64(1); number <= 20; number++ {
		pause(ctx, random, 20*time.Millisecond)
		record := journal.Record{Owner: owner, Number: number, Data: make([]byte, 200+random.IntN(2000))}
		if err := j.Append(ctx, record); err != nil {
			return fmt.Errorf("append to %s: %w", owner, err)
		}
		size += int64(len(owner) + len(record.Data))
		l.live.Add(int64(len(owner) + len(record.Data)))
		l.writes.Add(1)
	}
	records, err := j.Read(ctx, owner, 0, 0)
	if err != nil {
		return fmt.Errorf("read %s: %w", owner, err)
	}
	if len(records) != 20 {
		return fmt.Errorf("%s has %d records of 20", owner, len(records))
	}
	l.reads.Add(1)
	l.live.Add(-size)
	return j.Drop(ctx, owner)
}

// watch follows a namespace for a while, from now or from the recent past.
func (l *load) watch(ctx context.Context, random *rand.Rand) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(random.IntN(60_000))*time.Millisecond)
	defer cancel()
	options := []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithPrevKV()}
	if head := l.db.Revision(); random.IntN(2) == 0 && head > 2000 {
		options = append(options, clientv3.WithRev(head-int64(random.IntN(1000))))
	}
	last := int64(0)
	for response := range l.client.Watcher.Watch(ctx, fmt.Sprintf("/soak/objects/ns-%02d/", random.IntN(50)), options...) {
		if err := response.Err(); err != nil {
			return fmt.Errorf("watch: %w", err)
		}
		for _, event := range response.Events {
			if event.Kv.ModRevision <= last {
				return fmt.Errorf("a watch was sent revision %d after %d", event.Kv.ModRevision, last)
			}
			last = event.Kv.ModRevision
			l.reads.Add(1)
		}
	}
	return nil
}

// list pages through everything, at one revision.
func (l *load) list(ctx context.Context, random *rand.Rand) error {
	pause(ctx, random, 5*time.Second)
	revision, from := int64(0), ""
	for {
		page, err := l.client.Kubernetes.List(ctx, "/soak/objects/", kubernetes.ListOptions{Revision: revision, Limit: 500, Continue: from})
		if err != nil {
			return fmt.Errorf("list: %w", err)
		}
		l.reads.Add(1)
		if revision == 0 {
			revision = page.Revision
		}
		if len(page.Kvs) == 0 || page.Count <= int64(len(page.Kvs)) {
			return nil
		}
		from = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
		from = from[len("/soak/objects/"):]
	}
}

func pause(ctx context.Context, random *rand.Rand, mean time.Duration) {
	timer := time.NewTimer(time.Duration(random.Int64N(int64(2*mean) + 1)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
