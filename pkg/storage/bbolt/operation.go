// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"encoding/binary"
	"errors"
	"fmt"

	"safebeam.dev/safebeam/pkg/journal"
)

// operation is the decoded payload of a record. Exactly the fields of its type
// are set. Slices point into the decoded bytes.
type operation struct {
	typ recordType
	rev int64
	lsn uint64

	// put and delete. For a delete only key is set of cur.
	cur entry
	// prev is what the operation replaced, nil if the key did not exist.
	prev *entry

	// journal append and drop
	records []journal.Record
	root    journal.Owner

	// lease grant and revoke
	lease leaseMeta

	// compact
	compact int64
}

var errShortPayload = errors.New("payload ends early")

func appendString[T ~string | ~[]byte](b []byte, s T) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendMeta(b []byte, e *entry) []byte {
	b = binary.AppendVarint(b, e.create)
	b = binary.AppendVarint(b, e.version)
	return binary.AppendVarint(b, e.lease)
}

// appendPut encodes e, whose mod is the record's revision.
func appendPut(b []byte, e, prev *entry) []byte {
	b = appendString(b, e.key)
	b = appendMeta(b, e)
	b = appendString(b, e.value)
	return appendPrev(b, prev)
}

func appendDelete(b []byte, key string, prev *entry) []byte {
	b = appendString(b, key)
	return appendPrev(b, prev)
}

func appendPrev(b []byte, prev *entry) []byte {
	if prev == nil {
		return append(b, 0)
	}
	b = append(b, 1)
	b = binary.AppendVarint(b, prev.mod)
	b = appendMeta(b, prev)
	return appendString(b, prev.value)
}

func appendJournal(b []byte, records []journal.Record) []byte {
	b = binary.AppendUvarint(b, uint64(len(records)))
	for i, r := range records {
		// Records of one call mostly have one owner: an empty string says
		// "as before".
		if i > 0 && r.Owner == records[i-1].Owner {
			b = append(b, 0)
		} else {
			b = appendString(b, r.Owner)
		}
		b = binary.AppendVarint(b, r.Number)
		b = appendString(b, r.Data)
	}
	return b
}

func appendLease(b []byte, l leaseMeta) []byte {
	b = binary.AppendVarint(b, l.id)
	b = binary.AppendVarint(b, l.ttl)
	return binary.AppendVarint(b, l.expiry)
}

// payloadReader takes values off the front of b; the first failure sticks.
type payloadReader struct {
	b   []byte
	err error
}

func (r *payloadReader) fail() {
	if r.err == nil {
		r.err = errShortPayload
	}
	r.b = nil
}

func (r *payloadReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *payloadReader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *payloadReader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

// bytes never returns nil when it succeeds: a present, empty value is not the
// same as none.
func (r *payloadReader) bytes() []byte {
	n := r.uvarint()
	if r.err != nil || n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *payloadReader) meta(e *entry) {
	e.create = r.varint()
	e.version = r.varint()
	e.lease = r.varint()
}

func (r *payloadReader) prev(key string) *entry {
	switch r.byte() {
	case 0:
		return nil
	case 1:
		e := &entry{key: key}
		e.mod = r.varint()
		r.meta(e)
		e.value = r.bytes()
		return e
	default:
		r.fail()
		return nil
	}
}

// decodeOperation decodes the payload of a record whose checksum held.
func decodeOperation(h recordHeader, payload []byte) (operation, error) {
	op := operation{typ: h.typ, rev: h.rev, lsn: h.lsn}
	r := &payloadReader{b: payload}
	switch h.typ {
	case recordPut:
		op.cur.key = string(r.bytes())
		op.cur.mod = h.rev
		r.meta(&op.cur)
		op.cur.value = r.bytes()
		op.prev = r.prev(op.cur.key)
	case recordDelete:
		op.cur.key = string(r.bytes())
		op.cur.mod = h.rev
		op.prev = r.prev(op.cur.key)
		if op.prev == nil && r.err == nil {
			r.err = errors.New("delete of nothing")
		}
	case recordJournalAppend:
		n := r.uvarint()
		if n > uint64(len(payload)) {
			r.fail()
			break
		}
		op.records = make([]journal.Record, 0, n)
		var owner journal.Owner
		for range n {
			if o := r.bytes(); len(o) > 0 {
				owner = journal.Owner(o)
			}
			rec := journal.Record{Owner: owner, Number: r.varint(), Data: r.bytes()}
			if r.err == nil && (owner == "" || rec.Number < 1) {
				r.err = errors.New("journal record without owner or number")
			}
			if r.err != nil {
				break
			}
			op.records = append(op.records, rec)
		}
	case recordJournalDrop:
		op.root = journal.Owner(r.bytes())
	case recordLeaseGrant, recordLeaseRevoke:
		op.lease.id = r.varint()
		op.lease.ttl = r.varint()
		op.lease.expiry = r.varint()
	case recordCompact:
		op.compact = r.varint()
	default:
		r.err = fmt.Errorf("unknown record %v", h.typ)
	}
	if r.err == nil && len(r.b) > 0 {
		r.err = fmt.Errorf("%d bytes too many", len(r.b))
	}
	if r.err != nil {
		return operation{}, fmt.Errorf("%v record %d: %w", h.typ, h.lsn, r.err)
	}
	return op, nil
}

// isEvent reports whether the record is a change of an object, which takes a
// revision of its own.
func (t recordType) isEvent() bool { return t == recordPut || t == recordDelete }

func appendCompact(b []byte, rev int64) []byte { return binary.AppendVarint(b, rev) }
