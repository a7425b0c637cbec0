// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"errors"
	"io"

	"safebeam.dev/safebeam/pkg/storage/bbolt/vfs"
)

// recordReader yields the records of one segment in order.
type recordReader struct {
	file  vfs.File
	stamp uint32
	// off is where the next record begins, end where none can be any more.
	off, end int64

	buf    []byte
	bufOff int64
}

const readChunk = 256 << 10

// window returns at least n bytes from off, less only at the end. What it
// returned before stays valid: a buffer is never filled twice.
func (r *recordReader) window(n int) ([]byte, error) {
	if have := r.bufOff + int64(len(r.buf)) - r.off; r.buf != nil && r.off >= r.bufOff && have >= int64(n) {
		return r.buf[r.off-r.bufOff:], nil
	}
	size := min(int64(max(n, readChunk)), r.end-r.off)
	buf := make([]byte, size)
	got, err := r.file.ReadAt(buf, r.off)
	if err != nil && !(errors.Is(err, io.EOF) && int64(got) == size) {
		return nil, err
	}
	r.buf, r.bufOff = buf, r.off
	return buf, nil
}

// next returns the next record and where it begins: io.EOF at the end,
// errNoRecord where no record of this stamp begins, errBadRecord where one
// begins that is damaged. The payload may be kept.
func (r *recordReader) next() (h recordHeader, payload []byte, at int64, err error) {
	at = r.off
	if r.end-r.off < recordHeaderSize {
		return h, nil, at, io.EOF
	}
	b, err := r.window(recordHeaderSize)
	if err != nil {
		return h, nil, at, err
	}
	h = parseHeader(b)
	if h.stamp != r.stamp || h.typ == 0 || h.typ >= recordTypeEnd {
		return h, nil, at, errNoRecord
	}
	total := recordHeaderSize + int64(h.length)
	if total > r.end-r.off {
		return h, nil, at, errBadRecord
	}
	if b, err = r.window(int(total)); err != nil {
		return h, nil, at, err
	}
	h, payload, err = decodeRecord(b[:total], r.stamp)
	if err != nil {
		return h, nil, at, err
	}
	r.off += int64(h.size())
	return h, payload, at, nil
}

// remains looks for records of the segment's present life anywhere at or after
// from: the greatest sequence number of a record that began a group commit, 0
// if there is none, and whether there is anything at all that looks like a
// record.
func remains(s *segment, from int64) (committed uint64, any bool, err error) {
	r := &recordReader{file: s.file, stamp: s.stamp, end: s.size}
	for off := from; off+recordHeaderSize <= s.size; {
		r.off = off
		b, err := r.window(recordHeaderSize)
		if err != nil {
			return 0, false, err
		}
		i := 0
		for ; i+recordHeaderSize <= len(b); i += recordAlign {
			if h := parseHeader(b[i:]); h.stamp == s.stamp && h.typ != 0 && h.typ < recordTypeEnd {
				break
			}
		}
		off += int64(i)
		if i+recordHeaderSize > len(b) {
			continue
		}
		any = true
		r.off = off
		h, _, _, err := r.next()
		switch {
		case err == nil:
			if h.flags&flagBatch != 0 {
				committed = max(committed, h.lsn)
			}
			off += int64(h.size())
		case errors.Is(err, errBadRecord), errors.Is(err, errNoRecord), errors.Is(err, io.EOF):
			off += recordAlign
		default:
			return 0, false, err
		}
	}
	return committed, any, nil
}
