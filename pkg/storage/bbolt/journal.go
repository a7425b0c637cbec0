// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"safebeam.dev/safebeam/pkg/journal"
)

// Journal returns the journal of the store. Its records go through the same log
// and the same group commits as the objects, in the order they were handed
// over.
func (db *DB) Journal() journal.Journal { return journalFace{db} }

type journalFace struct{ db *DB }

var _ journal.Journal = journalFace{}

// encodeStoredRecord is a record in bbolt: a checksum over its key and data,
// then the data.
func encodeStoredRecord(owner journal.Owner, r journal.Record) []byte {
	b := make([]byte, 4, 4+len(r.Data))
	b = append(b, r.Data...)
	binary.LittleEndian.PutUint32(b, storedChecksum(journalKey(owner, r.Number), b[4:]))
	return b
}

// decodeStoredRecord returns the record with a copy of its data.
func decodeStoredRecord(k, v []byte) (journal.Record, error) {
	n := len(k) - 9
	if n < 1 || k[n] != 0 || len(v) < 4 || storedChecksum(k, v[4:]) != binary.LittleEndian.Uint32(v) {
		return journal.Record{}, corrupt("the checksum of journal record %q in the checkpoint does not match", k)
	}
	return journal.Record{
		Owner:  journal.Owner(k[:n]),
		Number: int64(binary.BigEndian.Uint64(k[n+1:])),
		Data:   append(make([]byte, 0, len(v)-4), v[4:]...),
	}, nil
}

func checkRecords(records []journal.Record) (size int, err error) {
	for _, r := range records {
		if err := checkOwner(r.Owner); err != nil {
			return 0, err
		}
		if r.Number < 1 {
			return 0, fmt.Errorf("journal record %d of %q: a number is at least 1", r.Number, r.Owner)
		}
		size += len(r.Owner) + len(r.Data) + 32
	}
	if size > MaxAppendBytes {
		return 0, fmt.Errorf("%w: journal records of %d bytes in one append, the limit is %d", rpctypes.ErrRequestTooLarge, size, MaxAppendBytes)
	}
	return size, nil
}

func checkOwner(o journal.Owner) error {
	if o == "" || len(o) > MaxKeyBytes-16 || strings.IndexByte(string(o), 0) >= 0 || o[0] == '/' || o[len(o)-1] == '/' {
		return fmt.Errorf("journal owner %q: it has to be a path without a zero byte that neither begins nor ends with a slash", o)
	}
	return nil
}

// append stages the records that the journal does not hold yet.
func (j journalFace) append(ctx context.Context, later bool, records []journal.Record) (b *batch, lead bool, err error) {
	if _, err := checkRecords(records); err != nil {
		return nil, false, err
	}
	known, epoch, err := j.db.storedRecords(records)
	if err != nil {
		return nil, false, err
	}
	var fresh []journal.Record
	var after *batch
	b, lead, err = j.db.stage(ctx, true, later, func() (int, error) {
		fresh = j.db.freshRecords(records, known)
		for j.db.pub.stored.epoch.Load() != epoch {
			// A checkpoint has moved records from memory to bbolt between the
			// look at the one and the look at the other.
			if known, epoch, err = j.db.storedRecords(records); err != nil {
				return 0, err
			}
			fresh = j.db.freshRecords(records, known)
		}
		size := 0
		for _, r := range fresh {
			size += len(r.Owner) + len(r.Data) + 32
		}
		if n := len(j.db.unsettled); size == 0 && n > 0 {
			// What is there already may not be durable yet.
			after = j.db.unsettled[n-1]
		}
		return size, nil
	}, func(b *batch) {
		j.db.record(b, recordJournalAppend, j.db.rev, func(buf []byte) []byte { return appendJournal(buf, fresh) })
		b.change(journalChange{records: fresh})
	})
	if b == nil {
		b = after
	}
	return b, lead, err
}

func (b *batch) change(c journalChange) {
	b.journal = append(b.journal, c)
	b.layer.apply(c)
}

// freshRecords returns the records that are not in the journal, each once. Call
// with mu held.
func (db *DB) freshRecords(records []journal.Record, stored map[recordName]bool) []journal.Record {
	fresh := make([]journal.Record, 0, len(records))
	for i, r := range records {
		has, decided := db.stagedHas(r)
		if !decided {
			has = stored[recordName{r.Owner, r.Number}]
		}
		if !has && !slices.ContainsFunc(records[:i], func(o journal.Record) bool { return o.Number == r.Number && o.Owner == r.Owner }) {
			fresh = append(fresh, r)
		}
	}
	return fresh
}

func (j journalFace) Append(ctx context.Context, records ...journal.Record) error {
	if len(records) == 0 {
		return nil
	}
	b, lead, err := j.append(ctx, false, records)
	if err != nil || b == nil {
		return err
	}
	if lead {
		j.db.commit()
	}
	return b.wait(ctx)
}

func (j journalFace) Stage(ctx context.Context, records ...journal.Record) journal.Pending {
	if len(records) == 0 {
		return settled{}
	}
	b, _, err := j.append(ctx, true, records)
	if err != nil || b == nil {
		return settled{err}
	}
	return pending{j.db, b}
}

// pending is a staged append. Whoever waits for it does not want it to wait
// for company any longer.
type pending struct {
	db *DB
	b  *batch
}

func (p pending) Wait(ctx context.Context) error {
	if ctx.Err() == nil { // else it is a look, not a wait
		p.db.commitNow()
	}
	return p.b.wait(ctx)
}

// settled is the outcome of an append that did not have to wait.
type settled struct{ err error }

func (s settled) Wait(context.Context) error { return s.err }

func (j journalFace) Sync(ctx context.Context) error {
	db := j.db
	db.mu.Lock()
	var last *batch
	if n := len(db.unsettled); n > 0 {
		last = db.unsettled[n-1]
	}
	db.mu.Unlock()
	if last == nil {
		return nil
	}
	return pending{db, last}.Wait(ctx)
}

func (j journalFace) Drop(ctx context.Context, root journal.Owner) error {
	if err := checkOwner(root); err != nil {
		return err
	}
	return j.db.writeThrough(ctx, false,
		func() (int, error) { return len(root) + 16, nil },
		func(b *batch) {
			j.db.record(b, recordJournalDrop, j.db.rev, func(buf []byte) []byte { return appendString(buf, root) })
			b.change(journalChange{root: root})
		})
}

func (j journalFace) Read(ctx context.Context, owner journal.Owner, after int64, limit int) ([]journal.Record, error) {
	if err := checkOwner(owner); err != nil {
		return nil, err
	}
	return j.db.readJournal(ctx, owner, max(after, 0), limit)
}

// readJournal merges what is in memory with what is in bbolt.
func (db *DB) readJournal(ctx context.Context, owner journal.Owner, after int64, limit int) ([]journal.Record, error) {
	p := &db.pub
	p.mu.RLock()
	recent, covered := p.live.after(owner, after), p.live.covers(owner)
	if !covered && p.frozen != nil {
		recent = mergeRecords(recent, p.frozen.after(owner, after))
		covered = p.frozen.covers(owner)
	}
	if covered || (limit > 0 && len(recent) > 0 && recent[0].Number == after+1) {
		// Nothing older can come before the first.
		covered = covered || contiguous(recent, after, limit)
	}
	if covered {
		p.mu.RUnlock()
		return cut(recent, limit), nil
	}
	// Begun under the lock: a record that has left memory is in it.
	tx, err := db.checkpoint.begin()
	p.mu.RUnlock()
	if err != nil {
		return nil, db.readError(err)
	}
	defer tx.Rollback()
	prefix := journalPrefix(owner)
	var stored []journal.Record
	c := tx.Bucket(bucketJournal).Cursor()
	for k, v := c.Seek(journalKey(owner, after+1)); k != nil && bytes.HasPrefix(k, prefix) && len(k) == len(prefix)+8; k, v = c.Next() {
		r, err := decodeStoredRecord(k, v)
		if err != nil {
			return nil, err
		}
		r.Owner = owner
		stored = append(stored, r)
		if limit > 0 && len(stored) == limit {
			break
		}
		if len(stored)%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	if limit > 0 && len(stored) == limit {
		// What comes after the last one read is not known.
		i, _ := slices.BinarySearchFunc(recent, stored[limit-1].Number+1, compareNumber)
		recent = recent[:i]
	}
	return cut(mergeRecords(recent, stored), limit), nil
}

// contiguous reports whether the first records are after+1, after+2, … up to
// the limit, so that no older record can lie between.
func contiguous(records []journal.Record, after int64, limit int) bool {
	return len(records) >= limit && records[limit-1].Number == after+int64(limit)
}

func cut(records []journal.Record, limit int) []journal.Record {
	if limit > 0 && len(records) > limit {
		return records[:limit:limit]
	}
	return records
}

func (j journalFace) Last(_ context.Context, owner journal.Owner) (int64, error) {
	if err := checkOwner(owner); err != nil {
		return 0, err
	}
	p := &j.db.pub
	p.mu.RLock()
	last, covered := p.live.last(owner), p.live.covers(owner)
	if !covered && p.frozen != nil {
		last, covered = max(last, p.frozen.last(owner)), p.frozen.covers(owner)
	}
	if covered {
		p.mu.RUnlock()
		return last, nil
	}
	tx, err := j.db.checkpoint.begin()
	p.mu.RUnlock()
	if err != nil {
		return 0, j.db.readError(err)
	}
	defer tx.Rollback()
	return max(last, lastStored(tx.Bucket(bucketJournal), owner)), nil
}

func (j journalFace) Owners(_ context.Context, after journal.Owner, limit int) ([]journal.Owner, error) {
	p := &j.db.pub
	p.mu.RLock()
	layers := []*journalLayer{p.live}
	if p.frozen != nil {
		layers = append(layers, p.frozen)
	}
	names := map[journal.Owner]struct{}{}
	hidden := func(owner journal.Owner, above int) bool {
		return slices.ContainsFunc(layers[:above], func(l *journalLayer) bool { return l.covers(owner) })
	}
	for i, l := range layers {
		for owner := range l.owners {
			if owner > after && !hidden(owner, i) {
				names[owner] = struct{}{}
			}
		}
	}
	tx, err := j.db.checkpoint.begin()
	if err != nil {
		p.mu.RUnlock()
		return nil, j.db.readError(err)
	}
	defer tx.Rollback()
	// Drops are few; a copy lets the lock go before the file is read.
	drops := newJournalLayer()
	for _, l := range layers {
		for root := range l.drops {
			drops.drops[root] = struct{}{}
		}
	}
	p.mu.RUnlock()

	stored := 0
	c := tx.Bucket(bucketJournal).Cursor()
	// The zero byte that ends an owner sorts below any byte of a longer one, so
	// the keys are in the order of the owners.
	for k, _ := c.Seek(append([]byte(after), 1)); k != nil && (limit == 0 || stored < limit); {
		owner := journal.Owner(k[:len(k)-9])
		if owner > after && !drops.covers(owner) {
			names[owner] = struct{}{}
			stored++
		}
		k, _ = c.Seek(append([]byte(owner), 1))
	}
	owners := make([]journal.Owner, 0, len(names))
	for owner := range names {
		owners = append(owners, owner)
	}
	slices.SortFunc(owners, cmp.Compare)
	if limit > 0 && len(owners) > limit {
		owners = owners[:limit]
	}
	return owners, nil
}

func (j journalFace) Follow(ctx context.Context, owner journal.Owner, after int64) iter.Seq2[journal.Record, error] {
	return func(yield func(journal.Record, error) bool) {
		if err := checkOwner(owner); err != nil {
			yield(journal.Record{}, err)
			return
		}
		f := j.db.pub.follow(owner)
		defer j.db.pub.unfollow(f)
		after := max(after, 0)
		for {
			records, err := j.db.readJournal(ctx, owner, after, followBatch)
			if ctx.Err() != nil {
				return
			}
			if f.dropped.Load() {
				yield(journal.Record{}, journal.ErrDropped)
				return
			}
			if err != nil {
				yield(journal.Record{}, err)
				return
			}
			for _, r := range records {
				if !yield(r, nil) {
					return
				}
				after = r.Number
			}
			if len(records) > 0 {
				continue
			}
			select {
			case <-f.wake:
			case <-ctx.Done():
				return
			case <-j.db.pub.done:
				yield(journal.Record{}, ErrClosed)
				return
			}
		}
	}
}

// followBatch bounds what a follower reads at once.
const followBatch = 256
