// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sse reads a stream of server-sent events as compatible servers
// really write it: lines that end in LF, CRLF or CR, "data:" with and without a
// space, comments, a byte order mark, events without the blank line at the end
// of the stream. Bytes are not decoded, so it does not matter where the network
// splits them. A line or an event above the limit is an error, and a line that
// the end of the stream cuts off is not an event.
package sse

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// MaxEvent bounds one event: the same 32 MiB that the providers' own SDKs take.
const MaxEvent = 32 << 20

// ErrTooLong is an event above the limit.
var ErrTooLong = errors.New("event exceeds the limit")

// Event is one event of a stream.
type Event struct {
	Type string
	Data []byte
}

// Reader reads events.
type Reader struct {
	r     *bufio.Reader
	limit int
	begun bool
	// skipLF follows a CR: the LF of a CRLF must not be read ahead for, or an
	// event would wait for the byte after it.
	skipLF bool
}

// NewReader reads events of at most MaxEvent bytes from r.
func NewReader(r io.Reader) *Reader { return NewReaderLimit(r, MaxEvent) }

// NewReaderLimit reads events of at most limit bytes from r.
func NewReaderLimit(r io.Reader, limit int) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 16<<10), limit: limit}
}

// Next returns the next event that has data, or io.EOF after the last. The
// data belongs to the caller.
func (r *Reader) Next() (Event, error) {
	var ev Event
	has := false
	for {
		line, err := r.line(r.limit - len(ev.Data))
		if err != nil {
			if errors.Is(err, io.EOF) && has {
				return ev, nil
			}
			return Event{}, err
		}
		if len(line) == 0 {
			if has {
				return ev, nil
			}
			ev = Event{}
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "event":
			ev.Type = string(value)
		case "data":
			if has {
				ev.Data = append(ev.Data, '\n')
			}
			ev.Data = append(ev.Data, value...)
			has = true
		}
	}
}

// line returns the next line without its end. A line that the end of the
// stream cuts off is dropped with io.EOF.
func (r *Reader) line(limit int) ([]byte, error) {
	var line []byte
	for {
		buf, err := r.window()
		if err != nil {
			return nil, err
		}
		i := bytes.IndexAny(buf, "\r\n")
		n := i
		if i < 0 {
			n = len(buf)
		}
		if len(line)+n > limit {
			return nil, fmt.Errorf("%w of %d bytes", ErrTooLong, r.limit)
		}
		line = append(line, buf[:n]...)
		if i < 0 {
			_, _ = r.r.Discard(n)
			continue
		}
		r.skipLF = buf[i] == '\r'
		_, _ = r.r.Discard(n + 1)
		if !r.begun {
			r.begun = true
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		}
		return line, nil
	}
}

// window returns what is there to read, at least one byte, without waiting for
// more.
func (r *Reader) window() ([]byte, error) {
	for {
		if _, err := r.r.Peek(1); err != nil {
			return nil, err
		}
		buf, _ := r.r.Peek(r.r.Buffered())
		if !r.skipLF {
			return buf, nil
		}
		r.skipLF = false
		if buf[0] != '\n' {
			return buf, nil
		}
		_, _ = r.r.Discard(1)
	}
}
