// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"safebeam.dev/safebeam/pkg/storage/bbolt/vfs"
)

// A segment is a file of fixed size. Its first page is the header, records
// follow back to back. The file is filled with zeros before its first use, so
// that a commit overwrites blocks that exist and needs no journal commit of the
// file system; it is recycled under a new sequence number and stamp, and what
// an earlier life left behind the last record has another stamp.
const (
	segmentMagic      = "sbeamlog"
	segmentVersion    = 1
	segmentHeaderSize = 4096
	pageSize          = 4096
	segmentSuffix     = ".log"
	// spareSuffix ends the names of files that hold nothing: zeroed or being
	// zeroed, or on the way to their next use.
	spareSuffix = ".spare"
)

type storeID [16]byte

type segment struct {
	seq   uint64
	stamp uint32
	size  int64
	path  string
	file  vfs.File

	// The rest is guarded by the log's mutex.

	// end is where the durable records end.
	end int64
	// first is the header of the first record; firstLSN is 0 in an unused
	// segment.
	first   recordHeader
	lastLSN uint64
	lastRev int64
	marks   []mark
	// pins counts the readers; a segment is recycled only at 0.
	pins    int
	retired bool
}

// mark says that the record at off is the first with a revision of at least
// rev, within the stride of marks.
type mark struct {
	rev int64
	off int64
}

// markStride is the distance of marks in a segment.
const markStride = 128 << 10

func segmentName(seq uint64) string { return fmt.Sprintf("%016x%s", seq, segmentSuffix) }

func parseSegmentName(name string) (uint64, bool) {
	hex, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(hex) != 16 {
		return 0, false
	}
	seq, err := strconv.ParseUint(hex, 16, 64)
	return seq, err == nil
}

func encodeSegmentHeader(id storeID, seq uint64, stamp uint32, size int64) []byte {
	b := make([]byte, segmentHeaderSize)
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint32(b[8:], segmentVersion)
	binary.LittleEndian.PutUint32(b[12:], stamp)
	copy(b[16:], id[:])
	binary.LittleEndian.PutUint64(b[32:], seq)
	binary.LittleEndian.PutUint64(b[40:], uint64(size))
	binary.LittleEndian.PutUint32(b[48:], crc32.Checksum(b[:48], castagnoli))
	return b
}

func decodeSegmentHeader(b []byte) (id storeID, seq uint64, stamp uint32, size int64, err error) {
	if len(b) < 52 || string(b[:8]) != segmentMagic {
		return id, 0, 0, 0, errors.New("it does not begin with the header of a log segment")
	}
	if crc32.Checksum(b[:48], castagnoli) != binary.LittleEndian.Uint32(b[48:]) {
		return id, 0, 0, 0, errors.New("the checksum of its header does not match")
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != segmentVersion {
		return id, 0, 0, 0, fmt.Errorf("it has format %d, this program reads format %d", v, segmentVersion)
	}
	copy(id[:], b[16:])
	return id, binary.LittleEndian.Uint64(b[32:]), binary.LittleEndian.Uint32(b[12:]),
		int64(binary.LittleEndian.Uint64(b[40:])), nil
}

// openSegment opens and checks a segment that has a name.
func openSegment(fs vfs.FS, dir, name string, id storeID, readOnly bool) (*segment, error) {
	path := filepath.Join(dir, name)
	flag := os.O_RDWR
	if readOnly {
		flag = os.O_RDONLY
	}
	f, err := fs.OpenFile(path, flag, 0o600)
	if err != nil {
		return nil, err
	}
	s, err := func() (*segment, error) {
		b := make([]byte, segmentHeaderSize)
		if _, err := f.ReadAt(b, 0); err != nil {
			return nil, fmt.Errorf("log segment %s: reading its header: %w", path, err)
		}
		gotID, seq, stamp, size, err := decodeSegmentHeader(b)
		if err != nil {
			return nil, corrupt("log segment %s: %v", path, err)
		}
		if gotID != id {
			return nil, corrupt("log segment %s belongs to another store (id %x, this one is %x)", path, gotID, id)
		}
		if want, _ := parseSegmentName(name); want != seq {
			return nil, corrupt("log segment %s says it is number %d", path, seq)
		}
		have, err := f.Size()
		if err != nil {
			return nil, err
		}
		if have < size || size < 2*segmentHeaderSize {
			return nil, corrupt("log segment %s is %d bytes long, its header says %d", path, have, size)
		}
		return &segment{seq: seq, stamp: stamp, size: size, path: path, file: f, end: segmentHeaderSize}, nil
	}()
	if err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

func (s *segment) used() bool { return s.lastLSN != 0 }

// note takes the record at off into the segment's bounds and marks.
func (s *segment) note(h recordHeader, off int64) {
	if !s.used() {
		s.first = h
	}
	s.lastLSN, s.lastRev = h.lsn, h.rev
	s.mark(h, off)
	s.end = off + int64(h.size())
}

func (s *segment) mark(h recordHeader, off int64) {
	if n := len(s.marks); n == 0 || off-s.marks[n-1].off >= markStride {
		s.marks = append(s.marks, mark{h.rev, off})
	}
}
