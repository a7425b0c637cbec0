// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package journal keeps the append-only records that are no API objects: the
// message logs of conversations, the events of turns, the output of executions.
//
// Laws:
//   - A record is named by (owner, number). Appending a name that exists is a
//     no-op, so every append may be repeated.
//   - Nothing is readable before it is durable.
//   - Records of one owner are read in the order of their numbers. Numbers may
//     have gaps; what a gap means is the owner's business.
//   - Journal records take no part in resource versions and watch history.
//
// The engine in pkg/storage/bbolt writes them through the same log and group
// commit as the objects; journal/etcd writes them with an etcd client.
package journal

import (
	"context"
	"iter"
)

// Owner names what records belong to, as a slash-separated path that begins
// with a plural and a UID, for example "turns/6e3f…/events". A whole subtree
// can be dropped at once.
type Owner string

// Record is one entry of an owner.
type Record struct {
	Owner Owner
	// Number is at least 1.
	Number int64
	// Data is opaque to the journal. The caller may not change it after the
	// call that hands it over, nor change what Read returned.
	Data []byte
}

// Pending is the outcome, not known yet, of a staged append.
type Pending interface {
	// Wait returns once the records are durable, or with the error that kept
	// them from it. An error of ctx says nothing about the records.
	Wait(ctx context.Context) error
}

// Journal is safe for concurrent use.
type Journal interface {
	// Append makes the records durable, all of them or none, and returns then.
	Append(ctx context.Context, records ...Record) error

	// Stage orders the records before every write that begins after Stage
	// has returned, be it to the journal or to the objects beside it in the
	// same store, and returns without waiting for the disk: if that later
	// write is durable, so are these. What nobody waits for may wait a moment
	// for a write to share a sync with.
	// An engine that cannot order without waiting does the append here and
	// returns its outcome.
	Stage(ctx context.Context, records ...Record) Pending

	// Sync returns once whatever was staged before is durable, and so readable,
	// or has failed.
	Sync(ctx context.Context) error

	// Read returns the records of owner with Number > after, in order, at
	// most limit of them (0: no limit).
	Read(ctx context.Context, owner Owner, after int64, limit int) ([]Record, error)

	// Last returns the highest number of owner, 0 if it has no records.
	Last(ctx context.Context, owner Owner) (int64, error)

	// Follow yields the records of owner with Number > after, in order, and
	// then waits for more, until ctx ends (no error is yielded for that), the
	// owner is dropped (yields ErrDropped) or reading fails.
	Follow(ctx context.Context, owner Owner, after int64) iter.Seq2[Record, error]

	// Drop removes every record of root and of every owner below it
	// (root + "/…"). Records appended to them later begin anew.
	Drop(ctx context.Context, root Owner) error

	// Owners lists owners with records that sort after the given one, in
	// order, at most limit of them. It serves the sweeper.
	Owners(ctx context.Context, after Owner, limit int) ([]Owner, error)
}
