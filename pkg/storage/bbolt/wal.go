// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"

	"safebeam.dev/safebeam/pkg/storage/bbolt/vfs"
)

// wal is the write-ahead log: a row of segments, of which the last used one is
// appended to. It knows files and positions; what the records mean, and when
// they may be dropped, is the engine's business.
//
// One goroutine at a time appends (the committer), any number scan.
type wal struct {
	fs     vfs.FS
	dir    string
	id     storeID
	max    int64
	logger klog.Logger

	mu sync.Mutex
	// segs are in order of their numbers, without gaps. The last is the
	// active one.
	segs []*segment
	// next is prepared to become active, nil while it is being prepared. need
	// is the room for records that it must have.
	next *segment
	need int64
	// spares are zeroed files of the full size.
	spares []*segment
	// retired waits for its last reader, then becomes a spare or is removed.
	retired []*segment
	// prepareErr says why there is no next segment.
	prepareErr error

	kick chan struct{}
	// prepared is called when next or prepareErr has changed.
	prepared func(error)
	spareNo  int

	fsyncs atomic.Int64
}

// smallestSegment is the size of the first segment; each next one doubles up
// to the configured size. A small store stays small.
const smallestSegment = 4 << 20

// maxSpares is how many zeroed files are kept for the next segments.
const maxSpares = 2

func (w *wal) sizeOf(seq uint64) int64 {
	size := int64(smallestSegment)
	for i := uint64(1); i < seq && size < w.max; i++ {
		size *= 2
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return max(min(size, w.max), (segmentHeaderSize+w.need+pageSize-1)&^(pageSize-1))
}

func (w *wal) active() *segment {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.segs[len(w.segs)-1]
}

// takeNext makes the prepared segment the active one. It returns nil, with the
// reason if there is one, if none is prepared with room for a record of need
// bytes.
func (w *wal) takeNext(need int64) (*segment, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next != nil && w.next.size < segmentHeaderSize+need {
		// Nothing was written to it. Its successor of the same number takes
		// its name.
		w.next.file.Close()
		w.next = nil
		w.need = need
	}
	if w.next == nil {
		w.need = max(w.need, need)
		w.wake()
		return nil, w.prepareErr
	}
	s := w.next
	w.next, w.need = nil, 0
	w.segs = append(w.segs, s)
	w.wake()
	return s, nil
}

func (w *wal) wake() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// run prepares segments ahead of need and disposes of retired ones.
func (w *wal) run(ctx context.Context) {
	for {
		retry := time.NewTimer(prepareRetry)
		select {
		case <-ctx.Done():
			retry.Stop()
			return
		case <-w.kick:
			retry.Stop()
		case <-retry.C:
		}
		w.dispose()
		w.prepare(ctx)
	}
}

// prepareRetry is how soon a failure to prepare a segment is tried again.
const prepareRetry = time.Second

func (w *wal) prepare(ctx context.Context) {
	w.mu.Lock()
	if w.next != nil {
		w.mu.Unlock()
		return
	}
	seq := w.segs[len(w.segs)-1].seq + 1
	w.mu.Unlock()

	s, err := w.make(ctx, seq)
	if ctx.Err() != nil {
		if s != nil {
			s.file.Close()
		}
		return
	}
	if err != nil {
		w.logger.Error(err, "Cannot prepare the next log segment", "segment", seq)
	}
	w.mu.Lock()
	w.next, w.prepareErr = s, err
	w.mu.Unlock()
	w.prepared(err)
}

// make returns segment seq, zeroed or recycled, its header durable.
func (w *wal) make(ctx context.Context, seq uint64) (*segment, error) {
	size := w.sizeOf(seq)
	s := w.takeSpare(size)
	if s == nil {
		var err error
		if s, err = w.zeroed(ctx, size); err != nil {
			return nil, err
		}
	}
	var stamp [4]byte
	if _, err := rand.Read(stamp[:]); err != nil {
		s.file.Close()
		return nil, err
	}
	fresh := &segment{
		seq: seq, stamp: binary.LittleEndian.Uint32(stamp[:]), size: size, end: segmentHeaderSize,
		path: filepath.Join(w.dir, segmentName(seq)), file: s.file,
	}
	err := func() error {
		if _, err := fresh.file.WriteAt(encodeSegmentHeader(w.id, seq, fresh.stamp, size), 0); err != nil {
			return err
		}
		if err := w.sync(fresh.file); err != nil {
			return err
		}
		if err := w.fs.Rename(s.path, fresh.path); err != nil {
			return err
		}
		return w.fs.SyncDir(w.dir)
	}()
	if err != nil {
		fresh.file.Close()
		return nil, fmt.Errorf("preparing log segment %s: %w", fresh.path, err)
	}
	return fresh, nil
}

func (w *wal) takeSpare(size int64) *segment {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, s := range w.spares {
		if s.size == size {
			w.spares = append(w.spares[:i], w.spares[i+1:]...)
			return s
		}
	}
	return nil
}

func (w *wal) sparePath() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spareNo++
	return filepath.Join(w.dir, fmt.Sprintf("%d%s", w.spareNo, spareSuffix))
}

// zeroed makes a spare file.
func (w *wal) zeroed(ctx context.Context, size int64) (*segment, error) {
	s := &segment{path: w.sparePath(), size: size}
	f, err := w.fs.OpenFile(s.path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	s.file = f
	err = zeroRange(ctx, f, 0, size, w.sync)
	if err != nil {
		f.Close()
		w.fs.Remove(s.path)
		return nil, fmt.Errorf("zeroing %s: %w", s.path, err)
	}
	return s, nil
}

// zeros are what is written at once, and synced: a commit's sync waits behind
// what of them is on its way to the disk.
var zeros [1 << 20]byte

// zeroRange overwrites [from, to) with zeros, durably.
func zeroRange(ctx context.Context, f vfs.File, from, to int64, sync func(vfs.File) error) error {
	for from < to {
		n := min(int64(len(zeros)), to-from)
		if _, err := f.WriteAt(zeros[:n], from); err != nil {
			return err
		}
		from += n
		if err := sync(f); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

func (w *wal) sync(f vfs.File) error {
	w.fsyncs.Add(1)
	return f.Sync()
}

// retire gives up the segments that the engine needs no more: those with every
// record below both bounds, as long as a later segment is in use. The last
// used one always stays: it tells where the sequence numbers are.
func (w *wal) retire(lsn uint64, rev int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.segs) > 1 && w.segs[1].used() && w.segs[0].lastLSN <= lsn && w.segs[0].lastRev < rev {
		w.segs[0].retired = true
		w.retired = append(w.retired, w.segs[0])
		w.segs = w.segs[1:]
	}
	if len(w.retired) > 0 {
		w.wake()
	}
}

// dispose turns retired segments into spares or removes them. The old name is
// gone for good before the file gets a new header: a crash in between must not
// leave a segment whose header contradicts its name.
func (w *wal) dispose() {
	for {
		w.mu.Lock()
		var s *segment
		for i, r := range w.retired {
			if r.pins == 0 {
				s = r
				w.retired = append(w.retired[:i], w.retired[i+1:]...)
				break
			}
		}
		keep := len(w.spares) < maxSpares
		w.mu.Unlock()
		if s == nil {
			return
		}
		keep = keep && s.size == w.max
		var err error
		if keep {
			spare := &segment{path: w.sparePath(), size: s.size, file: s.file}
			if err = w.fs.Rename(s.path, spare.path); err == nil {
				if err = w.fs.SyncDir(w.dir); err == nil {
					w.mu.Lock()
					w.spares = append(w.spares, spare)
					w.mu.Unlock()
					continue
				}
			}
		} else {
			err = w.fs.Remove(s.path)
		}
		if closeErr := s.file.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			w.logger.Error(err, "Cannot dispose of a log segment; the next start removes it", "path", s.path)
		}
	}
}

// bytes returns what the log takes on disk.
func (w *wal) bytes() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	var n int64
	for _, list := range [][]*segment{w.segs, w.spares, w.retired, {w.next}} {
		for _, s := range list {
			if s != nil {
				n += s.size
			}
		}
	}
	return n
}

// errGone says that the records asked for are no longer in the log.
var errGone = errors.New("no longer in the log")

// scan calls fn for the object changes with from <= revision <= to in order,
// until it returns false. The payload may be kept.
func (w *wal) scan(from, to int64, fn func(recordHeader, []byte) (bool, error)) error {
	for from <= to {
		s, v := w.pin(from)
		if s == nil {
			return errGone
		}
		next, more, err := v.scan(s, from, to, fn)
		w.unpin(s)
		if err != nil || !more {
			return err
		}
		from = next
	}
	return nil
}

// extent is the part of a segment that was durable when it was pinned.
type extent struct {
	off, end int64
	lastRev  int64
}

// scan is the part of wal.scan within one segment. It returns the revision to
// go on with and whether to go on at all.
func (v extent) scan(s *segment, from, to int64, fn func(recordHeader, []byte) (bool, error)) (int64, bool, error) {
	r := &recordReader{file: s.file, stamp: s.stamp, off: v.off, end: v.end}
	for from <= v.lastRev {
		h, payload, at, err := r.next()
		if errors.Is(err, io.EOF) || errors.Is(err, errNoRecord) || errors.Is(err, errBadRecord) {
			return from, false, corrupt("log segment %s: the record at offset %d is damaged", s.path, at)
		}
		if err != nil {
			return from, false, fmt.Errorf("log segment %s: %w", s.path, err)
		}
		if !h.typ.isEvent() || h.rev < from {
			continue
		}
		if h.rev > to {
			return from, false, nil
		}
		if h.rev != from {
			return from, false, corrupt("log segment %s: revision %d follows %d", s.path, h.rev, from-1)
		}
		from++
		if more, err := fn(h, payload); err != nil || !more {
			return from, false, err
		}
	}
	return from, true, nil
}

// pin finds the segment with the change rev and keeps it from being recycled.
func (w *wal) pin(rev int64) (*segment, extent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := sort.Search(len(w.segs), func(i int) bool { return !w.segs[i].used() || w.segs[i].lastRev >= rev })
	if i == len(w.segs) || !w.segs[i].used() {
		return nil, extent{}
	}
	s := w.segs[i]
	if i == 0 && firstEvent(s.first) > rev {
		return nil, extent{}
	}
	s.pins++
	v := extent{off: segmentHeaderSize, end: s.end, lastRev: s.lastRev}
	if m := sort.Search(len(s.marks), func(m int) bool { return s.marks[m].rev >= rev }); m > 0 {
		v.off = s.marks[m-1].off
	}
	return s, v
}

func (w *wal) unpin(s *segment) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.pins--
	if s.pins == 0 && s.retired {
		w.wake()
	}
}

// firstEvent returns the first revision whose change is in a segment that
// begins with h.
func firstEvent(h recordHeader) int64 {
	if h.typ.isEvent() {
		return h.rev
	}
	return h.rev + 1
}

// committed takes a durable group commit into the books.
func (w *wal) committed(s *segment, first recordHeader, lastLSN uint64, lastRev, off, end int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !s.used() {
		s.first = first
	}
	s.mark(first, off)
	s.lastLSN, s.lastRev, s.end = lastLSN, lastRev, end
}

func (w *wal) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, list := range [][]*segment{w.segs, w.spares, w.retired, {w.next}} {
		for _, s := range list {
			if s != nil {
				s.file.Close()
			}
		}
	}
	for _, s := range w.spares {
		w.fs.Remove(s.path)
	}
}

// isSpareName reports whether name is a file without content of ours.
func isSpareName(name string) bool { return strings.HasSuffix(name, spareSuffix) }
