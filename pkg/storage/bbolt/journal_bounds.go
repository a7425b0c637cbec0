// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"bytes"
	"encoding/binary"
	"sync"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"

	"safebeam.dev/safebeam/pkg/journal"
)

// storedBounds remembers how far the records of an owner go in bbolt. Who is
// written to is so as a rule beyond that, and an append need not look there.
//
// Law: bbolt holds no record of a known owner above its bound but such as are
// still in memory. A drop leaves the bound where it is: one that is too high
// costs a look.
type storedBounds struct {
	// epoch changes whenever records have moved from memory to bbolt.
	epoch atomic.Int64

	mu     sync.Mutex
	bounds map[journal.Owner]int64
}

// maxBounds bounds what is remembered, to half a megabyte. Who is forgotten is
// looked up again.
const maxBounds = 4096

func (s *storedBounds) of(owner journal.Owner) (bound int64, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	bound, known = s.bounds[owner]
	return bound, known
}

// learn remembers what was read of bbolt in the given epoch, unless that is over.
func (s *storedBounds) learn(owner journal.Owner, bound, epoch int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch.Load() != epoch {
		return
	}
	if len(s.bounds) >= maxBounds {
		for some := range s.bounds {
			delete(s.bounds, some)
			break
		}
	}
	s.bounds[owner] = bound
}

// moved says that the records of l are in bbolt and leave memory.
func (s *storedBounds) moved(l *journalLayer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for owner := range l.owners {
		if bound, known := s.bounds[owner]; known {
			s.bounds[owner] = max(bound, l.last(owner))
		}
	}
	s.epoch.Add(1)
}

type recordName struct {
	owner  journal.Owner
	number int64
}

// storedRecords reports which of the records bbolt holds, and the epoch of that
// answer.
func (db *DB) storedRecords(records []journal.Record) (stored map[recordName]bool, epoch int64, err error) {
	bounds := &db.pub.stored
	epoch = bounds.epoch.Load()
	var tx *bolt.Tx
	for _, r := range records {
		bound, known := bounds.of(r.Owner)
		if known && r.Number > bound {
			continue
		}
		if tx == nil {
			if tx, err = db.checkpoint.begin(); err != nil {
				return nil, 0, db.readError(err)
			}
			defer tx.Rollback()
		}
		bucket := tx.Bucket(bucketJournal)
		if !known {
			bound = lastStored(bucket, r.Owner)
			bounds.learn(r.Owner, bound, epoch)
		}
		if r.Number <= bound && bucket.Get(journalKey(r.Owner, r.Number)) != nil {
			if stored == nil {
				stored = map[recordName]bool{}
			}
			stored[recordName{r.Owner, r.Number}] = true
		}
	}
	return stored, epoch, nil
}

// lastStored returns the greatest number of owner's records in bbolt, 0 if it
// has none there.
func lastStored(bucket *bolt.Bucket, owner journal.Owner) int64 {
	prefix := journalPrefix(owner)
	c := bucket.Cursor()
	k, _ := c.Seek(append([]byte(owner), 1))
	if k == nil {
		k, _ = c.Last()
	} else {
		k, _ = c.Prev()
	}
	if !bytes.HasPrefix(k, prefix) || len(k) != len(prefix)+8 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(k[len(prefix):]))
}
