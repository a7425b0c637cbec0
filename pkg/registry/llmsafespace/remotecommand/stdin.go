// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package remotecommand

import (
	"io"
	"sync"
	"time"
)

// stdinRoom is how much of stdin is taken ahead of its reader.
const stdinRoom = 64 << 10

// stdin is a pipe with room in it, so that what a client sends in small pieces
// is not handed over piece by piece.
type stdin struct {
	mu     sync.Mutex
	data   []byte
	eof    bool          // the writer has closed it
	closed bool          // the reader wants no more
	change chan struct{} // closed, and made anew, when any of the above changes
}

func newStdin() *stdin { return &stdin{change: make(chan struct{})} }

func (s *stdin) changed() {
	close(s.change)
	s.change = make(chan struct{})
}

// Read implements io.Reader.
func (s *stdin) Read(p []byte) (int, error) {
	for {
		s.mu.Lock()
		switch {
		case s.closed:
			s.mu.Unlock()
			return 0, io.ErrClosedPipe
		case len(s.data) > 0:
			n := copy(p, s.data)
			s.data = s.data[n:]
			if len(s.data) == 0 {
				s.data = nil
			}
			s.changed()
			s.mu.Unlock()
			return n, nil
		case s.eof:
			s.mu.Unlock()
			return 0, io.EOF
		}
		change := s.change
		s.mu.Unlock()
		<-change
	}
}

// Close throws away what is there and what comes.
func (s *stdin) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed, s.data = true, nil
		s.changed()
	}
	return nil
}

// end is the writer's end of it.
func (s *stdin) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.eof {
		s.eof = true
		s.changed()
	}
}

// put hands data over, and waits for room: each time that wait has passed it
// calls meanwhile, whose error ends it. After Close it takes everything.
func (s *stdin) put(data []byte, wait time.Duration, meanwhile func() error) error {
	var ticker *time.Ticker
	for len(data) > 0 {
		s.mu.Lock()
		if s.closed || s.eof {
			s.mu.Unlock()
			return nil
		}
		if room := stdinRoom - len(s.data); room > 0 {
			n := min(room, len(data))
			s.data = append(s.data, data[:n]...)
			data = data[n:]
			s.changed()
			s.mu.Unlock()
			continue
		}
		change := s.change
		s.mu.Unlock()
		if ticker == nil {
			ticker = time.NewTicker(wait)
			defer ticker.Stop()
		}
		select {
		case <-change:
		case <-ticker.C:
			if err := meanwhile(); err != nil {
				return err
			}
		}
	}
	return nil
}
