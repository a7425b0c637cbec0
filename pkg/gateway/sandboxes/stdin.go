// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxes

import (
	"io"
	"sync"
)

const (
	// stdinWindow is how much of stdin sandboxd takes ahead of the process; what
	// lies between the acknowledged and the read is kept here to be sent again.
	stdinWindow = 256 << 10
	stdinPiece  = 32<<10 - 128
)

// stdinSource is the part of a caller's stdin that is under way.
//
//	reader → [ base … unacknowledged … end ] → connection
type stdinSource struct {
	mu     sync.Mutex
	room   sync.Cond
	data   []byte
	base   uint64 // offset of data[0]
	acked  uint64 // what the process has read; less than base after another life's stdin
	eof    bool
	closed bool          // nobody wants more
	change chan struct{} // closed, and made anew, when there is more to send
}

func newStdinSource() *stdinSource {
	s := &stdinSource{change: make(chan struct{})}
	s.room.L = &s.mu
	return s
}

// fill reads until the end, an error, or until nobody wants more, and then closes
// what it read from if that can be closed.
func (s *stdinSource) fill(r io.Reader) {
	if c, ok := r.(io.Closer); ok {
		defer c.Close()
	}
	buffer := make([]byte, stdinPiece)
	for {
		n, err := r.Read(buffer)
		s.mu.Lock()
		for s.base+uint64(len(s.data)+n) > s.acked+stdinWindow && !s.closed {
			s.room.Wait()
		}
		if s.closed {
			s.mu.Unlock()
			return
		}
		s.data = append(s.data, buffer[:n]...)
		if err != nil {
			s.eof = true
		}
		close(s.change)
		s.change = make(chan struct{})
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// after returns what there is from offset on, at most one piece; eof if that is
// all there will be; done if nobody wants it.
func (s *stdinSource) after(offset uint64) (data []byte, eof, done bool, change <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, false, true, nil
	}
	end := s.base + uint64(len(s.data))
	if offset > end {
		return nil, false, true, nil
	}
	from := max(offset, s.base) - s.base
	rest := s.data[from:]
	if len(rest) > stdinPiece {
		return append([]byte(nil), rest[:stdinPiece]...), false, false, s.change
	}
	return append([]byte(nil), rest...), s.eof, false, s.change
}

// resume checks where sandboxd wants to go on.
func (s *stdinSource) resume(received uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed || received >= s.base && received <= s.base+uint64(len(s.data))
}

// acknowledge drops what the process has read. It reports whether that was ever
// sent.
func (s *stdinSource) acknowledge(offset uint64, closed bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return true
	}
	if offset > s.base+uint64(len(s.data)) {
		return false
	}
	s.acked = max(s.acked, offset)
	if offset > s.base {
		s.data = append(s.data[:0], s.data[offset-s.base:]...)
		s.base = offset
	}
	if closed {
		s.closeLocked()
	}
	s.room.Signal()
	return true
}

func (s *stdinSource) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeLocked()
}

func (s *stdinSource) closeLocked() {
	s.closed = true
	s.data = nil
	s.room.Signal()
}
