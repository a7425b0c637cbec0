// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"safebeam.dev/safebeam/pkg/journal"
)

// Follow implements journal.Journal.
func (j *Journal) Follow(ctx context.Context, owner journal.Owner, after int64) iter.Seq2[journal.Record, error] {
	return func(yield func(journal.Record, error) bool) {
		if err := checkOwner(owner); err != nil {
			yield(journal.Record{}, err)
			return
		}
		f := &follower{journal: j, owner: owner, last: max(after, 0), yield: yield}
		err := f.run(ctx)
		if err != nil && !errors.Is(err, errStopped) && ctx.Err() == nil {
			yield(journal.Record{}, err)
		}
	}
}

// errStopped ends a follower whose consumer has had enough.
var errStopped = errors.New("stopped")

// follower alternates between reading what is there and watching for what
// comes. A watch that falls behind etcd's compaction leads back to reading.
type follower struct {
	journal *Journal
	owner   journal.Owner
	yield   func(journal.Record, error) bool
	// last is the number of the last record yielded, or what it began after.
	last int64
	// yielded says that record last was seen: should it be missing later,
	// the owner was dropped.
	yielded bool
}

func (f *follower) run(ctx context.Context) error {
	for {
		records, revision, err := f.journal.read(ctx, f.owner, f.last, 0)
		if err != nil {
			return err
		}
		for _, r := range records {
			if !f.hand(r) {
				return errStopped
			}
		}
		if behind, err := f.watch(ctx, revision+1); err != nil || !behind {
			return err
		}
		if dropped, err := f.missed(ctx); err != nil || dropped {
			return cmp.Or(err, error(journal.ErrDropped))
		}
	}
}

func (f *follower) hand(r journal.Record) bool {
	f.last, f.yielded = r.Number, true
	return f.yield(r, nil)
}

// watch yields what is appended from the revision on. It returns behind if the
// history it needed has been compacted.
func (f *follower) watch(ctx context.Context, revision int64) (behind bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	from, to := f.journal.layout.after(f.owner, 0)
	records := f.journal.client.Watch(ctx, from, clientv3.WithRange(to), clientv3.WithRev(revision))
	drops := f.journal.client.Watch(ctx, f.journal.layout.dropped, clientv3.WithRev(revision))
	for {
		var answer clientv3.WatchResponse
		var open bool
		select {
		case answer, open = <-records:
		case answer, open = <-drops:
		}
		switch {
		case !open:
			if ctx.Err() != nil {
				return false, errStopped
			}
			return false, fmt.Errorf("journal: the watch of %s ended", f.owner)
		case answer.CompactRevision > 0:
			return true, nil
		case answer.Err() != nil:
			return false, fmt.Errorf("journal: following %s: %w", f.owner, answer.Err())
		}
		if err := f.events(ctx, answer.Events); err != nil {
			return false, err
		}
	}
}

func (f *follower) events(ctx context.Context, events []*clientv3.Event) error {
	// One transaction's records come in the order in which they were given
	// to it.
	slices.SortStableFunc(events, func(a, b *clientv3.Event) int {
		return cmp.Or(cmp.Compare(a.Kv.ModRevision, b.Kv.ModRevision), cmp.Compare(string(a.Kv.Key), string(b.Kv.Key)))
	})
	for _, event := range events {
		if string(event.Kv.Key) == f.journal.layout.dropped {
			if covers(journal.Owner(event.Kv.Value), f.owner) {
				return journal.ErrDropped
			}
			continue
		}
		if event.Type == mvccpb.Event_DELETE {
			return journal.ErrDropped
		}
		if err := f.appended(ctx, event.Kv); err != nil {
			return err
		}
	}
	return nil
}

func (f *follower) appended(ctx context.Context, kv *mvccpb.KeyValue) error {
	_, number, err := f.journal.layout.parse(kv.Key)
	if err != nil || number <= f.last {
		return err
	}
	data, err := f.journal.data(ctx, f.owner, number, kv.Value)
	if errors.Is(err, errPartsGone) {
		return journal.ErrDropped
	}
	if err != nil {
		return err
	}
	if !f.hand(journal.Record{Owner: f.owner, Number: number, Data: data}) {
		return errStopped
	}
	return nil
}

// missed says whether the owner was dropped while its history was out of reach.
func (f *follower) missed(ctx context.Context) (bool, error) {
	if !f.yielded {
		return false, nil
	}
	answer, err := f.journal.client.Get(ctx, f.journal.layout.record(f.owner, f.last), clientv3.WithCountOnly())
	if err != nil {
		return false, fmt.Errorf("journal: following %s: %w", f.owner, err)
	}
	return answer.Count == 0, nil
}
