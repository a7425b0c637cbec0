// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"context"
	"sync/atomic"
)

// A session lets the loser of a race go on at once. Without one, a write that
// is refused because the key was changed meanwhile waits until that change is
// durable, and a read shows only what is durable: sixteen writers of one object
// then get one write done per sync. In a session a refusal, and a Get of the
// current revision, show the staged state at once. The caller must not let out
// anything that came of it before Settle has returned nil:
//
//	ctx, settle := db.Session(ctx)
//	err := store.GuaranteedUpdate(ctx, …)
//	if settleErr := settle(ctx); settleErr != nil {
//		return settleErr
//	}
//	return err
//
// A write that succeeds waits as ever, and with it everything it came after; so
// settling costs nothing then.
type session struct {
	db  *DB
	rev atomic.Int64
}

type sessionKey struct{}

// Session returns a context under which the client of db shows staged state,
// and the function that waits until everything it has shown is durable.
func (db *DB) Session(ctx context.Context) (context.Context, func(context.Context) error) {
	s := &session{db: db}
	settle := func(ctx context.Context) error { return db.settle(ctx, s.rev.Load()) }
	return context.WithValue(ctx, sessionKey{}, s), settle
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
	hint := db.prefetch(key)
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := db.writable(); err != nil {
		return nil, 0, err
	}
	e, err := db.staged(key, hint)
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
