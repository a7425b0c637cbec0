// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"

	"k8s.io/klog/v2"

	"safebeam.dev/safebeam/pkg/storage/bbolt/vfs"
)

// recovery is what opening the log found.
type recovery struct {
	lastLSN  uint64
	replayed int
	// torn are the tails to cut off: none if the log ended cleanly.
	torn []tornTail
	// lastBatch is where the last group commit begins in the last used
	// segment.
	lastBatch int64
}

// tornTail is what an unfinished group commit left in a segment. It has to be
// overwritten: new records would end somewhere in it, and what follows them
// must not be taken for a record.
type tornTail struct {
	segment *segment
	off     int64
}

type openMode int

const (
	recoverTail openMode = iota
	checkAll
)

// openWAL opens the log in dir and calls apply for every record after the
// checkpoint. A tail that a power cut may have torn is cut off the last used
// segment; anything else out of order is refused.
//
// With checkAll it calls apply for every record there is, changes nothing on
// disk and makes no segment.
func openWAL(fs vfs.FS, dir string, id storeID, maxSegment int64, checkpoint uint64, mode openMode, logger klog.Logger,
	apply func(recordHeader, []byte) error,
) (_ *wal, rec recovery, err error) {
	w := &wal{fs: fs, dir: dir, id: id, max: maxSegment, logger: logger, kick: make(chan struct{}, 1), prepared: func(error) {}}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if err := w.openSegments(mode == checkAll); err != nil {
		return nil, rec, err
	}
	last, err := w.readBounds()
	if err != nil {
		return nil, rec, err
	}
	if rec, err = w.replay(last, checkpoint, mode, apply); err != nil {
		return nil, rec, err
	}
	if rec.lastLSN < checkpoint {
		return nil, rec, corrupt("the log in %s ends with record %d, but the checkpoint was made at record %d: the end of the log is missing", dir, rec.lastLSN, checkpoint)
	}
	if mode == checkAll {
		return w, rec, nil
	}
	for _, t := range rec.torn {
		logger.Info("The log ends with a torn record, which was never acknowledged; cutting it off", "segment", t.segment.path, "offset", t.off)
		if err := zeroRange(context.Background(), t.segment.file, t.off, t.segment.size, w.sync); err != nil {
			return nil, rec, fmt.Errorf("log segment %s: cutting off its torn tail: %w", t.segment.path, err)
		}
	}
	if last >= 0 {
		if err := w.confirm(w.segs[last], rec.lastBatch); err != nil {
			return nil, rec, err
		}
	}
	if len(w.segs) == 0 {
		s, err := w.make(context.Background(), 1)
		if err != nil {
			return nil, rec, err
		}
		w.segs = append(w.segs, s)
		last = 0
	}
	// What was prepared and not used yet is next in line.
	last = max(last, 0)
	if unused := w.segs[last+1:]; len(unused) > 0 {
		w.next = unused[0]
		w.retired = append(w.retired, unused[1:]...)
		w.segs = w.segs[:last+1]
	}
	w.wake()
	return w, rec, nil
}

// confirm writes the last group commit again and syncs it. It was read, but
// that may have been from the page cache: the process may have ended between
// write and sync, or the sync may have failed, after which the kernel may
// believe the pages to be clean. From here on the records count as durable.
func (w *wal) confirm(s *segment, from int64) error {
	from -= from % pageSize
	b := make([]byte, s.end-from)
	if _, err := s.file.ReadAt(b, from); err != nil {
		return fmt.Errorf("log segment %s: %w", s.path, err)
	}
	if _, err := s.file.WriteAt(b, from); err != nil {
		return fmt.Errorf("log segment %s: %w", s.path, err)
	}
	if err := w.sync(s.file); err != nil {
		return fmt.Errorf("log segment %s: %w", s.path, err)
	}
	return nil
}

func (w *wal) openSegments(readOnly bool) error {
	names, err := w.fs.ReadDir(w.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if isSpareName(name) {
			if !readOnly {
				if err := w.fs.Remove(filepath.Join(w.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
					return err
				}
			}
			continue
		}
		if _, ok := parseSegmentName(name); !ok {
			return corrupt("%s is no log segment", filepath.Join(w.dir, name))
		}
		s, err := openSegment(w.fs, w.dir, name, w.id, readOnly)
		if err != nil {
			return err
		}
		w.segs = append(w.segs, s)
	}
	slices.SortFunc(w.segs, func(a, b *segment) int {
		if a.seq < b.seq {
			return -1
		}
		return 1
	})
	for i := 1; i < len(w.segs); i++ {
		if w.segs[i].seq != w.segs[i-1].seq+1 {
			return corrupt("log segment %s is missing", filepath.Join(w.dir, segmentName(w.segs[i-1].seq+1)))
		}
	}
	return nil
}

// readBounds reads the first record of every segment and returns the index of
// the last segment that has one, -1 if none has.
func (w *wal) readBounds() (int, error) {
	last := -1
	for i, s := range w.segs {
		r := &recordReader{file: s.file, stamp: s.stamp, off: segmentHeaderSize, end: s.size}
		h, _, _, err := r.next()
		switch {
		case err == nil:
			if last != i-1 {
				return 0, corrupt("log segment %s has no readable record, but the next one, %s, does", w.segs[i-1].path, s.path)
			}
			if last >= 0 {
				prev := w.segs[last]
				if h.lsn <= prev.first.lsn || h.rev < prev.first.rev {
					return 0, corrupt("log segment %s begins with record %d, the one before it with %d", s.path, h.lsn, prev.first.lsn)
				}
				prev.lastLSN = h.lsn - 1
				prev.lastRev = firstEvent(h) - 1
				// Its records end somewhere before its size; reading tells.
				prev.end = prev.size
			}
			s.first, s.lastLSN, s.lastRev = h, h.lsn, h.rev
			last = i
		case errors.Is(err, errNoRecord), errors.Is(err, errBadRecord), errors.Is(err, io.EOF):
		default:
			return 0, fmt.Errorf("log segment %s: %w", s.path, err)
		}
	}
	return last, nil
}

// replay reads the records from the one after the checkpoint to the end.
func (w *wal) replay(last int, checkpoint uint64, mode openMode, apply func(recordHeader, []byte) error) (rec recovery, err error) {
	expect := uint64(1)
	end := int64(segmentHeaderSize)
	if last >= 0 {
		if first := w.segs[0]; first.first.lsn > checkpoint+1 {
			return rec, corrupt("the log begins with record %d in %s, but the checkpoint was made at record %d: the segments between are missing",
				first.first.lsn, first.path, checkpoint)
		}
		start, skip := 0, checkpoint
		if mode == checkAll {
			skip = 0
		}
		for mode == recoverTail && start < last && w.segs[start+1].first.lsn <= checkpoint+1 {
			start++
		}
		expect = w.segs[start].first.lsn
		for i := start; i <= last; i++ {
			if end, err = w.replaySegment(w.segs[i], &expect, skip, &rec, apply); err != nil {
				return rec, err
			}
			if i < last && expect != w.segs[i+1].first.lsn {
				return rec, corrupt("log segment %s: the record at offset %d is damaged: records %d to %d are missing before segment %s",
					w.segs[i].path, end, expect, w.segs[i+1].first.lsn-1, w.segs[i+1].path)
			}
		}
		rec.lastLSN = expect - 1
	}
	// Nothing may follow the end that was written knowing more to be durable.
	for i := max(last, 0); i < len(w.segs); i++ {
		from := int64(segmentHeaderSize)
		if i == last {
			from = end
		}
		committed, any, err := remains(w.segs[i], from)
		if err != nil {
			return rec, fmt.Errorf("log segment %s: %w", w.segs[i].path, err)
		}
		if committed >= expect {
			return rec, corrupt("log segment %s: the record at offset %d, number %d, is damaged, but number %d after it had been committed later",
				w.segs[max(last, 0)].path, end, expect, committed)
		}
		if any {
			rec.torn = append(rec.torn, tornTail{w.segs[i], from})
		}
	}
	return rec, nil
}

// replaySegment applies the records of s and returns the offset of their end.
func (w *wal) replaySegment(s *segment, expect *uint64, skip uint64, rec *recovery, apply func(recordHeader, []byte) error) (int64, error) {
	r := &recordReader{file: s.file, stamp: s.stamp, off: segmentHeaderSize, end: s.size}
	s.lastLSN, s.lastRev, s.end, s.marks = 0, 0, segmentHeaderSize, nil
	rec.lastBatch = segmentHeaderSize
	for {
		h, payload, at, err := r.next()
		if errors.Is(err, io.EOF) || errors.Is(err, errNoRecord) || errors.Is(err, errBadRecord) {
			return at, nil
		}
		if err != nil {
			return at, fmt.Errorf("log segment %s: %w", s.path, err)
		}
		if h.lsn != *expect || *expect == math.MaxUint64 {
			return at, corrupt("log segment %s: record %d at offset %d, where %d was expected", s.path, h.lsn, at, *expect)
		}
		*expect++
		s.note(h, at)
		if h.flags&flagBatch != 0 {
			rec.lastBatch = at
		}
		if h.lsn <= skip {
			continue
		}
		rec.replayed++
		if err := apply(h, payload); err != nil {
			return at, corrupt("log segment %s, offset %d: %v", s.path, at, err)
		}
	}
}
