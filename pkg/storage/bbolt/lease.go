// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// leaseMeta is what is stored of a lease. Which keys hang on it, the keys say.
type leaseMeta struct {
	id     int64
	ttl    int64 // seconds, as granted
	expiry int64 // Unix nanoseconds, by the wall clock
}

type lease struct {
	leaseMeta
	keys map[string]struct{}
}

// leaseChange is a grant, or with nil a revocation.
type leaseChange struct {
	id   int64
	meta *leaseMeta
}

// leaseTable holds the leases by id. A lease expires by the wall clock, also
// while the store is closed.
type leaseTable map[int64]*lease

func (t leaseTable) grant(m leaseMeta) {
	if l := t[m.id]; l != nil {
		l.leaseMeta = m
		return
	}
	t[m.id] = &lease{leaseMeta: m, keys: map[string]struct{}{}}
}

func (t leaseTable) attach(id int64, key string) {
	if l := t[id]; l != nil {
		l.keys[key] = struct{}{}
	}
}

func (t leaseTable) detach(id int64, key string) {
	if l := t[id]; l != nil {
		delete(l.keys, key)
	}
}

// next returns the lease that expires first, nil if there is none.
func (t leaseTable) next() *lease {
	var first *lease
	for _, l := range t {
		if first == nil || l.expiry < first.expiry || (l.expiry == first.expiry && l.id < first.id) {
			first = l
		}
	}
	return first
}

func leaseKey(id int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }

func encodeStoredLease(m leaseMeta) []byte {
	b := make([]byte, 4, 32)
	b = appendLease(b, m)
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return b
}

func decodeStoredLease(k, v []byte) (leaseMeta, error) {
	if len(k) != 8 || len(v) < 4 || crc32.Checksum(v[4:], castagnoli) != binary.LittleEndian.Uint32(v) {
		return leaseMeta{}, fmt.Errorf("the checksum of lease %x does not match", k)
	}
	r := &payloadReader{b: v[4:]}
	m := leaseMeta{id: r.varint(), ttl: r.varint(), expiry: r.varint()}
	if r.err == nil && m.id != int64(binary.BigEndian.Uint64(k)) {
		r.err = fmt.Errorf("lease %x says it is %x", k, m.id)
	}
	return m, r.err
}

// maxLeaseTTL is etcd's.
const maxLeaseTTL = 9_000_000_000

// grantLease makes a lease durable. Its id is never used twice: it is the
// number of the record that grants it.
func (db *DB) grantLease(ctx context.Context, ttl int64) (leaseMeta, error) {
	if ttl < 1 || ttl > maxLeaseTTL {
		return leaseMeta{}, rpctypes.ErrLeaseTTLTooLarge
	}
	var m leaseMeta
	err := db.writeThrough(ctx, true,
		func() (int, error) { return 64, nil },
		func(b *batch) {
			m = leaseMeta{id: int64(db.lsn + 1), ttl: ttl, expiry: db.clock.Now().Add(time.Duration(ttl) * time.Second).UnixNano()}
			db.record(b, recordLeaseGrant, db.rev, func(buf []byte) []byte { return appendLease(buf, m) })
			db.leases.grant(m)
			b.leases = append(b.leases, leaseChange{m.id, &m})
		})
	if err != nil {
		return leaseMeta{}, err
	}
	select {
	case db.expiryC <- struct{}{}:
	default:
	}
	return m, nil
}

// revokeLease deletes the keys of a lease, each with a revision of its own, and
// then the lease. An expiry that was cut short goes on where it stopped.
func (db *DB) revokeLease(ctx context.Context, id int64) error {
	for {
		db.mu.Lock()
		l := db.leases[id]
		var keys []string
		if l != nil {
			for key := range l.keys {
				if keys = append(keys, key); len(keys) == 256 {
					break
				}
			}
		}
		db.mu.Unlock()
		if l == nil {
			return rpctypes.ErrLeaseNotFound
		}
		if len(keys) == 0 {
			break
		}
		if err := db.deleteLeased(ctx, id, keys); err != nil {
			return err
		}
	}
	retry := false
	err := db.writeThrough(ctx, false,
		func() (int, error) {
			l := db.leases[id]
			// A key may have been attached since; it goes with the lease too.
			retry = l != nil && len(l.keys) > 0
			if l == nil || retry {
				return 0, nil
			}
			return 64, nil
		},
		func(b *batch) {
			db.record(b, recordLeaseRevoke, db.rev, func(buf []byte) []byte { return appendLease(buf, leaseMeta{id: id}) })
			delete(db.leases, id)
			b.leases = append(b.leases, leaseChange{id, nil})
		})
	if err == nil && retry {
		return db.revokeLease(ctx, id)
	}
	return err
}

// deleteLeased stages the deletion of keys that hang on a lease and waits for
// the last.
func (db *DB) deleteLeased(ctx context.Context, id int64, keys []string) error {
	attached := condition{holds: func(cur *entry) bool { return cur != nil && cur.lease == id }}
	var last *batch
	for _, key := range keys {
		out, err := db.stageDelete(ctx, key, attached)
		if err != nil {
			return err
		}
		if out.lead {
			db.wakeFlusher()
		}
		if out.batch != nil {
			last = out.batch
		}
	}
	if last == nil {
		return nil
	}
	return last.wait(ctx)
}

// runExpiry revokes leases as they expire.
func (db *DB) runExpiry(ctx context.Context) {
	for {
		db.mu.Lock()
		var id int64
		wait := time.Hour
		if l := db.leases.next(); l != nil {
			id = l.id
			wait = min(wait, time.Unix(0, l.expiry).Sub(db.clock.Now()))
		}
		db.mu.Unlock()
		if id != 0 && wait <= 0 {
			err := db.revokeLease(ctx, id)
			if err == nil || errors.Is(err, rpctypes.ErrLeaseNotFound) {
				continue
			}
			if ctx.Err() == nil {
				db.logger.Error(err, "Cannot expire a lease; trying again", "lease", id)
			}
			wait = time.Second
		}
		timer := db.clock.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C():
		case <-db.expiryC:
			timer.Stop()
		}
	}
}
