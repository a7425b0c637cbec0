// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

// A log record is one operation. docs/store-format.md is its specification.
//
//	 0  u32  crc32c of everything from offset 4 on, seeded with the stamp
//	 4  u32  length of the payload
//	 8  u32  stamp of the segment's present use
//	12  u8   type
//	13  u8   flags
//	14  u16  zero
//	16  u64  log sequence number
//	24  i64  revision of the store after the record
//	32  i64  wall clock, Unix nanoseconds
//	40       payload, then zeros up to a multiple of 8
const (
	recordHeaderSize = 40
	recordAlign      = 8
)

type recordType uint8

const (
	recordPut recordType = iota + 1
	recordDelete
	recordJournalAppend
	recordJournalDrop
	recordLeaseGrant
	recordLeaseRevoke
	recordCompact
	recordTypeEnd
)

func (t recordType) String() string {
	switch t {
	case recordPut:
		return "put"
	case recordDelete:
		return "delete"
	case recordJournalAppend:
		return "journal append"
	case recordJournalDrop:
		return "journal drop"
	case recordLeaseGrant:
		return "lease grant"
	case recordLeaseRevoke:
		return "lease revoke"
	case recordCompact:
		return "compact"
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// flagBatch marks the first record of a group commit. Such a record was written
// after every record before it had become durable: where one is found beyond a
// damaged place, the damage is no torn tail.
const flagBatch = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// recordHeader is the fixed part of a record.
type recordHeader struct {
	crc    uint32
	length uint32
	stamp  uint32
	typ    recordType
	flags  uint8
	lsn    uint64
	rev    int64
	time   int64
}

func (h recordHeader) when() time.Time { return time.Unix(0, h.time) }

// size is the room the record takes, padding included.
func (h recordHeader) size() int { return recordSize(int(h.length)) }

func recordSize(payload int) int {
	return (recordHeaderSize + payload + recordAlign - 1) &^ (recordAlign - 1)
}

func parseHeader(b []byte) recordHeader {
	_ = b[recordHeaderSize-1]
	return recordHeader{
		crc:    binary.LittleEndian.Uint32(b),
		length: binary.LittleEndian.Uint32(b[4:]),
		stamp:  binary.LittleEndian.Uint32(b[8:]),
		typ:    recordType(b[12]),
		flags:  b[13],
		lsn:    binary.LittleEndian.Uint64(b[16:]),
		rev:    int64(binary.LittleEndian.Uint64(b[24:])),
		time:   int64(binary.LittleEndian.Uint64(b[32:])),
	}
}

// beginRecord appends room for a header; the payload is to be appended next.
func beginRecord(buf []byte) (_ []byte, at int) {
	var zero [recordHeaderSize]byte
	return append(buf, zero[:]...), len(buf)
}

// endRecord fills in the header of the record begun at offset at and pads it.
func endRecord(buf []byte, at int, h recordHeader) []byte {
	h.length = uint32(len(buf) - at - recordHeaderSize)
	b := buf[at:]
	binary.LittleEndian.PutUint32(b[4:], h.length)
	binary.LittleEndian.PutUint32(b[8:], h.stamp)
	b[12] = byte(h.typ)
	b[13] = h.flags
	binary.LittleEndian.PutUint64(b[16:], h.lsn)
	binary.LittleEndian.PutUint64(b[24:], uint64(h.rev))
	binary.LittleEndian.PutUint64(b[32:], uint64(h.time))
	binary.LittleEndian.PutUint32(b, recordChecksum(h.stamp, b))
	for len(buf)%recordAlign != at%recordAlign {
		buf = append(buf, 0)
	}
	return buf
}

// recordChecksum is the checksum of the record that fills b, without padding.
func recordChecksum(stamp uint32, b []byte) uint32 {
	return crc32.Update(stamp, castagnoli, b[4:])
}

var (
	errNoRecord  = errors.New("no record")
	errBadRecord = errors.New("damaged record")
)

// decodeRecord checks and splits the record at the start of b, which may be
// longer. A record of another stamp is errNoRecord: a leftover of the
// segment's earlier life.
func decodeRecord(b []byte, stamp uint32) (recordHeader, []byte, error) {
	if len(b) < recordHeaderSize {
		return recordHeader{}, nil, errNoRecord
	}
	h := parseHeader(b)
	if h.stamp != stamp || h.typ == 0 || h.typ >= recordTypeEnd {
		return recordHeader{}, nil, errNoRecord
	}
	if uint64(h.length) > uint64(len(b)-recordHeaderSize) {
		return recordHeader{}, nil, errBadRecord
	}
	end := recordHeaderSize + int(h.length)
	if recordChecksum(stamp, b[:end]) != h.crc {
		return recordHeader{}, nil, errBadRecord
	}
	return h, b[recordHeaderSize:end], nil
}
