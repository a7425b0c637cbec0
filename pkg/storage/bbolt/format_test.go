// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"safebeam.dev/safebeam/pkg/journal"
	"safebeam.dev/safebeam/pkg/storage/bbolt/vfs/faultfs"
)

// sampleRecords are records of every type, as they are in a segment.
func sampleRecords(stamp uint32) []byte {
	prev := &entry{key: "/k", value: []byte("old"), create: 2, mod: 3, version: 2}
	cur := &entry{key: "/k", value: []byte("new"), create: 2, mod: 4, version: 3, lease: 9}
	var b []byte
	lsn := uint64(0)
	add := func(typ recordType, rev int64, payload func([]byte) []byte) {
		lsn++
		buf, at := beginRecord(b)
		b = endRecord(payload(buf), at, recordHeader{stamp: stamp, typ: typ, lsn: lsn, rev: rev, time: 1})
	}
	add(recordPut, 2, func(b []byte) []byte {
		return appendPut(b, &entry{key: "/k", create: 2, version: 1, value: []byte{}}, nil)
	})
	add(recordPut, 3, func(b []byte) []byte { return appendPut(b, cur, prev) })
	add(recordDelete, 4, func(b []byte) []byte { return appendDelete(b, "/k", prev) })
	add(recordJournalAppend, 4, func(b []byte) []byte {
		return appendJournal(b, []journal.Record{{Owner: "a/b", Number: 1, Data: []byte("x")}, {Owner: "a/b", Number: 2}, {Owner: "c", Number: 9, Data: []byte("y")}})
	})
	add(recordJournalDrop, 4, func(b []byte) []byte { return appendString(b, "a") })
	add(recordLeaseGrant, 4, func(b []byte) []byte { return appendLease(b, leaseMeta{id: 9, ttl: 60, expiry: 1 << 60}) })
	add(recordLeaseRevoke, 4, func(b []byte) []byte { return appendLease(b, leaseMeta{id: 9}) })
	add(recordCompact, 4, func(b []byte) []byte { return appendCompact(b, 3) })
	return b
}

// encodeOperation is the inverse of decodeOperation.
func encodeOperation(op operation) []byte {
	switch op.typ {
	case recordPut:
		return appendPut(nil, &op.cur, op.prev)
	case recordDelete:
		return appendDelete(nil, op.cur.key, op.prev)
	case recordJournalAppend:
		return appendJournal(nil, op.records)
	case recordJournalDrop:
		return appendString(nil, op.root)
	case recordLeaseGrant, recordLeaseRevoke:
		return appendLease(nil, op.lease)
	default:
		return appendCompact(nil, op.compact)
	}
}

func TestRecordsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	b := sampleRecords(77)
	for seen := recordPut; seen < recordTypeEnd; {
		h, payload, err := decodeRecord(b, 77)
		if err != nil {
			t.Fatalf("after %v: %v", seen, err)
		}
		seen = max(seen, h.typ) + 1
		op, err := decodeOperation(h, payload)
		if err != nil {
			t.Fatal(err)
		}
		if got := encodeOperation(op); !bytes.Equal(got, payload) {
			t.Errorf("%v: %x came back as %x", h.typ, payload, got)
		}
		if h.typ == recordPut && op.cur.value == nil {
			t.Error("an empty value came back as none")
		}
		if _, _, err := decodeRecord(b, 78); !errors.Is(err, errNoRecord) {
			t.Errorf("a record of another stamp: %v", err)
		}
		b = b[h.size():]
	}
}

// FuzzOperation feeds payloads to the decoder: it may refuse them, but neither
// panic nor accept what it would not write.
func FuzzOperation(f *testing.F) {
	for b := sampleRecords(1); len(b) > 0; {
		h, payload, err := decodeRecord(b, 1)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(h.typ), payload)
		b = b[h.size():]
	}
	f.Fuzz(func(t *testing.T, typ uint8, payload []byte) {
		op, err := decodeOperation(recordHeader{typ: recordType(typ), rev: 4, lsn: 1}, payload)
		if err != nil {
			return
		}
		again, err := decodeOperation(recordHeader{typ: recordType(typ), rev: 4, lsn: 1}, encodeOperation(op))
		if err != nil {
			t.Fatalf("%+v, encoded again, is refused: %v", op, err)
		}
		if !bytes.Equal(encodeOperation(again), encodeOperation(op)) {
			t.Fatalf("%+v came back as %+v", op, again)
		}
	})
}

// FuzzRecovery changes the log of a store and opens it. Either it is refused,
// or the store is at a revision it once had, with the content it had then.
func FuzzRecovery(f *testing.F) {
	dir := f.TempDir()
	fs := faultfs.New(1)
	opts := Options{Dir: dir, FS: fs, SegmentBytes: minSegmentBytes, noSync: true, CheckpointInterval: time.Hour}
	db, err := Open(opts)
	if err != nil {
		f.Fatal(err)
	}
	history := map[int64][]string{1: {}}
	for i, key := range []string{"/a", "/b", "/a", "/c", "/b", "/a"} {
		rev := mustPut(f, db, key, string(rune('0'+i)), keyRevision(f, db, key))
		history[rev] = contentOf(f, db)
	}
	segment, end := db.segment.path, int(db.offset)
	db.abandon()
	log := fs.Bytes(segment)
	f.Add(uint16(end-segmentHeaderSize-60), []byte{1, 2, 3})
	f.Add(uint16(0), log[segmentHeaderSize:segmentHeaderSize+100])
	f.Add(uint16(200), log[segmentHeaderSize:end])
	f.Fuzz(func(t *testing.T, off uint16, change []byte) {
		fs := fs.Clone(1)
		at := segmentHeaderSize + int(off)%(minSegmentBytes-segmentHeaderSize)
		fs.Overwrite(segment, at, change[:min(len(change), minSegmentBytes-at)])
		opts := opts
		opts.FS = fs
		db, err := Open(opts)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("refused for another reason: %v", err)
			}
			return
		}
		defer db.abandon()
		want, ok := history[db.Revision()]
		if got := contentOf(t, db); !ok || !slices.Equal(got, want) {
			t.Fatalf("revision %d holds %v, it held %v", db.Revision(), got, want)
		}
		mustPut(t, db, "/new", "x", 0)
	})
}

func contentOf(t testing.TB, db *DB) []string {
	t.Helper()
	res, err := db.readRange(t.Context(), rangeRequest{keys: prefixRange("/")})
	if err != nil {
		t.Fatal(err)
	}
	content := []string{}
	for _, kv := range res.kvs {
		content = append(content, string(kv.Key)+"="+string(kv.Value))
	}
	return content
}

// FuzzCheckpointRecords feeds values to the decoders of what bbolt holds.
func FuzzCheckpointRecords(f *testing.F) {
	f.Add([]byte("/k"), encodeStored(nil, &entry{key: "/k", value: []byte("v"), create: 1, mod: 2, version: 1}))
	f.Add(leaseKey(9), encodeStoredLease(leaseMeta{id: 9, ttl: 1, expiry: 2}))
	f.Add(journalKey("a/b", 3), encodeStoredRecord("a/b", journal.Record{Owner: "a/b", Number: 3, Data: []byte("x")}))
	f.Add(keyState, state{rev: 1, base: 1}.encode())
	f.Fuzz(func(t *testing.T, k, v []byte) {
		if e, err := decodeStored(k, v); err == nil && !bytes.Equal(encodeStored(nil, &e), v) {
			// Varints have longer forms that nobody writes; what they say is the same.
			if again, err := decodeStored(k, encodeStored(nil, &e)); err != nil || again.mod != e.mod || !bytes.Equal(again.value, e.value) {
				t.Fatalf("%+v came back as %+v, %v", e, again, err)
			}
		}
		if r, err := decodeStoredRecord(k, v); err == nil && !bytes.Equal(encodeStoredRecord(r.Owner, r), v) {
			t.Fatalf("%+v came back differently", r)
		}
		decodeStoredLease(k, v)
		decodeState(v)
		decodeSegmentHeader(v)
	})
}

func TestSegmentNamesComeBack(t *testing.T) {
	t.Parallel()
	for _, seq := range []uint64{1, 255, 1 << 60} {
		if got, ok := parseSegmentName(segmentName(seq)); !ok || got != seq {
			t.Errorf("%s is %d, %v", segmentName(seq), got, ok)
		}
	}
	for _, name := range []string{"1.log", "x.log", "0000000000000001.spare", filepath.Join("a", segmentName(1))} {
		if seq, ok := parseSegmentName(name); ok {
			t.Errorf("%s is segment %d", name, seq)
		}
	}
}
