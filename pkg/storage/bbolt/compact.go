// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"k8s.io/utils/clock"
)

// compactionTick is how often history is looked at.
const compactionTick = 30 * time.Second

// ages remembers which revision was the newest at what time, so that history
// can be kept by age.
type ages struct{ samples []age }

type age struct {
	time int64
	rev  int64
}

func (a *ages) add(now, rev int64) {
	if n := len(a.samples); n > 0 && a.samples[n-1].rev == rev {
		return
	}
	a.samples = append(a.samples, age{now, rev})
}

// olderThan returns the newest revision known to be at least as old as limit,
// and forgets what is older still.
func (a *ages) olderThan(limit int64) int64 {
	n := 0
	for n < len(a.samples) && a.samples[n].time <= limit {
		n++
	}
	if n == 0 {
		return 0
	}
	a.samples = a.samples[n-1:]
	return a.samples[0].rev
}

// compactionTarget decides up to which revision history may go: by age and by
// number of events, whichever keeps more, but within the space given.
func compactionTarget(head, byAge, minEvents, bySpace int64) int64 {
	target := max(min(byAge, head-minEvents), bySpace)
	return min(target, head)
}

// runCompactor lets history go as the options say.
func (db *DB) runCompactor(ctx context.Context) {
	var a ages
	db.wal.mu.Lock()
	for _, s := range db.wal.segs {
		if s.used() {
			a.add(s.first.time, s.first.rev)
		}
	}
	db.wal.mu.Unlock()
	tick := db.clock.NewTicker(compactionTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C():
		}
		db.compactByAge(ctx, &a, db.clock)
	}
}

func (db *DB) compactByAge(ctx context.Context, a *ages, c clock.PassiveClock) {
	now, head := c.Now(), db.Revision()
	a.add(now.UnixNano(), head)
	byAge := a.olderThan(now.Add(-db.opts.CompactionRetention).UnixNano())
	target := compactionTarget(head, byAge, db.opts.CompactionMinEvents, db.wal.revisionWithin(db.opts.CompactionMaxBytes))
	if target <= db.CompactRevision() || target < 2 {
		return
	}
	if err := db.Compact(ctx, target); err != nil && !errors.Is(err, rpctypes.ErrCompacted) && !errors.Is(err, ErrClosed) && ctx.Err() == nil {
		db.logger.Error(err, "Cannot compact history", "revision", target)
	}
}

// revisionWithin returns the revision from which on history takes at most max
// bytes of log, 0 if all of it does.
func (w *wal) revisionWithin(max int64) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	var bytes int64
	for i := len(w.segs) - 1; i >= 0; i-- {
		if !w.segs[i].used() {
			continue
		}
		bytes += w.segs[i].size
		if bytes > max && i+1 < len(w.segs) && w.segs[i+1].used() {
			return firstEvent(w.segs[i+1].first)
		}
	}
	return 0
}

// Compact gives up the history before rev: reads at an earlier revision fail
// with ErrCompacted, and so do watches that want to begin there or have not got
// beyond. Live keys are not touched. It is durable when Compact returns.
func (db *DB) Compact(ctx context.Context, rev int64) error {
	if rev > db.Revision() {
		return rpctypes.ErrFutureRev
	}
	if rev <= db.CompactRevision() {
		return rpctypes.ErrCompacted
	}
	err := db.writeThrough(ctx, false,
		func() (int, error) { return 16, nil },
		func(b *batch) {
			db.record(b, recordCompact, db.rev, func(buf []byte) []byte { return appendCompact(buf, rev) })
			b.compact = max(b.compact, rev)
		})
	if err != nil {
		return err
	}
	db.ckpt.request()
	return nil
}

func errIsContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
