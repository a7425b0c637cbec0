// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sync/errgroup"
)

// loader builds the state of the store from the checkpoint and the log.
type loader struct {
	state   state
	idx     *index
	rev     int64
	compact int64
	leases  leaseTable
	journal *journalLayer

	dirtyKeys   []string
	dirtyLeases map[int64]*leaseMeta
	bytes       int64
}

func newLoader() loader {
	return loader{leases: leaseTable{}, journal: newJournalLayer(), dirtyLeases: map[int64]*leaseMeta{}}
}

// load reads the checkpoint: its keys without values, its leases.
func (l *loader) load(c *checkpointFile) error {
	tx, err := c.begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if l.state, err = readState(tx); err != nil {
		return err
	}
	l.rev, l.compact = l.state.rev, l.state.compact
	entries, err := loadEntries(c, splitKeys(tx.Bucket(bucketKeys), runtime.GOMAXPROCS(0)))
	if err != nil {
		return err
	}
	l.idx = buildIndex(entries)
	err = tx.Bucket(bucketLeases).ForEach(func(k, v []byte) error {
		m, err := decodeStoredLease(k, v)
		if err != nil {
			return corrupt("%s: %v", c.path, err)
		}
		l.leases.grant(m)
		return nil
	})
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.lease != 0 {
			l.leases.attach(e.lease, e.key)
		}
	}
	return nil
}

// loadEntries reads the keys and metadata of all live keys, in order. Leaf
// pages hold the values too, so the whole file passes by: several goroutines
// share the range.
func loadEntries(c *checkpointFile, bounds []string) ([]*entry, error) {
	parts := make([][]*entry, len(bounds))
	var g errgroup.Group
	for i, from := range bounds {
		to := ""
		if i+1 < len(bounds) {
			to = bounds[i+1]
		}
		g.Go(func() (err error) {
			parts[i], err = loadPart(c, from, to)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(parts...), nil
}

// loadPart reads the keys from a bound up to another; "" is no bound.
func loadPart(c *checkpointFile, from, to string) ([]*entry, error) {
	tx, err := c.begin()
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	var part []*entry
	cursor := tx.Bucket(bucketKeys).Cursor()
	for k, v := cursor.Seek([]byte(from)); k != nil; k, v = cursor.Next() {
		if to != "" && string(k) >= to {
			break
		}
		if len(v) < 8 {
			return nil, corrupt("key %q in the checkpoint has no value record", k)
		}
		e, _, err := decodeStoredMeta(v)
		if err != nil {
			return nil, corrupt("key %q in the checkpoint: %v", k, err)
		}
		e.key = string(k)
		part = append(part, &e)
	}
	return part, nil
}

// splitKeys returns up to n lower bounds of parts of the bucket; the first is
// the empty string. It samples by descending the key space between the first
// and the last key.
func splitKeys(b *bolt.Bucket, n int) []string {
	bounds := []string{""}
	c := b.Cursor()
	first, _ := c.First()
	last, _ := c.Last()
	if first == nil || n < 2 {
		return bounds
	}
	// Keys share long prefixes: interpolate in the first eight bytes in which
	// the ends differ.
	common := 0
	for common < len(first) && common < len(last) && first[common] == last[common] {
		common++
	}
	lo, hi := eightBytes(first[common:]), eightBytes(last[common:])
	for i := 1; i < n; i++ {
		at := binary.BigEndian.AppendUint64(append([]byte{}, first[:common]...), lo+(hi-lo)/uint64(n)*uint64(i))
		k, _ := c.Seek(at)
		if k != nil && string(k) > bounds[len(bounds)-1] {
			bounds = append(bounds, string(k))
		}
	}
	return bounds
}

func eightBytes(b []byte) uint64 {
	var v [8]byte
	copy(v[:], b)
	return binary.BigEndian.Uint64(v[:])
}

// replay applies one record of the log. What it keeps is copied.
func (l *loader) replay(h recordHeader, payload []byte) error {
	op, err := decodeOperation(h, payload)
	if err != nil {
		return err
	}
	want := l.rev
	if h.typ.isEvent() {
		want++
	}
	if h.rev != want {
		return fmt.Errorf("%v record %d has revision %d, not %d", h.typ, h.lsn, h.rev, want)
	}
	l.rev = h.rev
	l.bytes += int64(h.size())
	switch h.typ {
	case recordPut:
		e := op.cur
		e.value = append(make([]byte, 0, len(e.value)), e.value...)
		l.change(e.key, l.idx.set(&e))
		if e.lease != 0 {
			l.leases.attach(e.lease, e.key)
		}
	case recordDelete:
		// A checkpoint that was cut short may have deleted the key already.
		l.change(op.cur.key, l.idx.delete(op.cur.key))
	case recordJournalAppend:
		for _, r := range op.records {
			r.Owner = cloneOwner(r.Owner)
			r.Data = append(make([]byte, 0, len(r.Data)), r.Data...)
			l.journal.append(r)
		}
	case recordJournalDrop:
		l.journal.drop(cloneOwner(op.root))
	case recordLeaseGrant:
		m := op.lease
		l.leases.grant(m)
		l.dirtyLeases[m.id] = &m
	case recordLeaseRevoke:
		delete(l.leases, op.lease.id)
		l.dirtyLeases[op.lease.id] = nil
	case recordCompact:
		l.compact = max(l.compact, op.compact)
	}
	return nil
}

func (l *loader) change(key string, old *entry) {
	l.dirtyKeys = append(l.dirtyKeys, key)
	if old != nil && old.lease != 0 {
		l.leases.detach(old.lease, key)
	}
}

// oldest returns the compaction revision that the log's own beginning implies:
// 0 if it goes back to the first change there ever was.
func (l *loader) oldest(w *wal) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.segs[0]; s.used() {
		if first := firstEvent(s.first); first > l.state.base+1 {
			return first
		}
		return 0
	}
	if l.rev > l.state.base {
		return l.rev
	}
	return 0
}

func cloneOwner[T ~string](s T) T { return T(strings.Clone(string(s))) }
