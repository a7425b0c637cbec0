// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"context"
	"sync/atomic"
)

// A session shows its caller the staged state: a Get of the current revision
// sees it, a write is answered as soon as it is staged, and one that is refused
// because the key was changed meanwhile learns that at once. Without one, all of
// these wait for the sync. The caller must not let out anything that came of it
// before Settle has returned nil:
//
//	ctx, settle := db.Session(ctx)
//	err := store.GuaranteedUpdate(ctx, …)
//	if settleErr := settle(ctx); settleErr != nil {
//		return settleErr
//	}
//	return err
//
// It is worth its trouble twice. Sixteen writers of one object would get one
// write done per sync; in a session the loser goes on from the winner's state.
// And what Kubernetes' store does after a write, which is to decode the result,
// is done while the disk is at work instead of afterwards. For the same reason
// Kubernetes' own etcd_request_duration_seconds does not contain the sync, which
// the engine's metrics do.
type session struct {
	db *DB
	// ahead: its writes leave their sync to others.
	ahead bool
	// rev is the greatest revision that was shown, batch what the last answer
	// depends on.
	rev   atomic.Int64
	batch atomic.Pointer[batch]
}

type sessionKey struct{}

// Session returns a context under which the client of db shows staged state,
// and the function that waits until everything it has shown is durable.
func (db *DB) Session(ctx context.Context) (context.Context, func(context.Context) error) {
	s := &session{db: db}
	return context.WithValue(ctx, sessionKey{}, s), s.settle
}

// Ahead is a Session whose writes are ordered ahead of every write that begins
// after they have returned, as journal.Journal.Stage orders records, and leave
// their sync to such a later write, or get one of their own after a moment. What
// came of them may be let out once a later write is durable, or once settled.
func (db *DB) Ahead(ctx context.Context) (context.Context, func(context.Context) error) {
	s := &session{db: db, ahead: true}
	return context.WithValue(ctx, sessionKey{}, s), func(ctx context.Context) error {
		if db.head.Load().rev < s.rev.Load() {
			db.commitNow()
		}
		return s.settle(ctx)
	}
}

// writesAhead reports whether writes under ctx leave their sync to others.
func writesAhead(ctx context.Context, db *DB) bool {
	s := sessionOf(ctx, db)
	return s != nil && s.ahead
}

func (s *session) settle(ctx context.Context) error {
	if b := s.batch.Load(); b != nil {
		if err := b.wait(ctx); err != nil {
			return err
		}
	}
	return s.db.settle(ctx, s.rev.Load())
}

func sessionOf(ctx context.Context, db *DB) *session {
	s, _ := ctx.Value(sessionKey{}).(*session)
	if s == nil || s.db != db {
		return nil
	}
	return s
}

// saw notes that state with the given revision was shown.
func (s *session) saw(rev int64) {
	for {
		old := s.rev.Load()
		if rev <= old || s.rev.CompareAndSwap(old, rev) {
			return
		}
	}
}

// getStaged returns the key in the staged state.
func (db *DB) getStaged(key string, s *session) (*entry, int64, error) {
	hint := db.prefetch(key, always)
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := db.writable(); err != nil {
		return nil, 0, err
	}
	e, err := db.withValue(db.idx.get(key), hint)
	if err != nil {
		return nil, 0, err
	}
	if e != nil {
		s.saw(e.mod)
	} else {
		s.saw(db.rev)
	}
	return e, db.rev, nil
}
