// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const (
	// A connection that breaks is made again quickly at first: a server that
	// restarts is back within a second or two.
	firstWait = 50 * time.Millisecond
	lastWait  = 5 * time.Second
	// maxLine bounds one event. The largest holds a whole answer.
	maxLine = 64 << 20
	// maxRetries is how many connections in a row may bring no event: some
	// five minutes of a server that is away. Connections that lasted do not
	// count, since proxies cut quiet streams.
	maxRetries = 60
	lasted     = 10 * time.Second
)

// errStopped: the caller wants no more.
var errStopped = errors.New("stopped")

// follower reads numbered lines across every kind of broken connection, until
// the last one.
type follower[E any] struct {
	// open connects, for what has numbers above after.
	open func(ctx context.Context, after int64) (io.ReadCloser, error)
	// number of an event, and whether it is the last.
	number   func(*E) int64
	terminal func(*E) bool
	// after is the number of the last event that was yielded.
	after int64
}

func (f *follower[E]) run(ctx context.Context, yield func(E, error) bool) error {
	for attempt := 0; ; attempt++ {
		before, start := f.after, time.Now()
		terminal, err := f.connect(ctx, yield)
		switch {
		case terminal, errors.Is(err, errStopped):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case final(err):
			return err
		}
		if f.after > before || time.Since(start) >= lasted {
			attempt = 0
		}
		if attempt >= maxRetries {
			if err == nil {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("no event after number %d in %d connections: %w", f.after, attempt+1, err)
		}
		if err := sleep(ctx, wait(attempt, err)); err != nil {
			return err
		}
	}
}

// connect reads one connection to its end. terminal: there will be no more.
func (f *follower[E]) connect(ctx context.Context, yield func(E, error) bool) (terminal bool, err error) {
	body, err := f.open(ctx, f.after)
	if err != nil {
		return false, err
	}
	defer body.Close()

	lines := newLineReader(body)
	for {
		line, err := lines.next()
		if err != nil {
			return false, err
		}
		var event E
		if err := json.Unmarshal(line, &event); err != nil {
			return false, &malformedError{line: line, err: err}
		}
		if f.number(&event) <= f.after {
			continue // a server may send again what was read; it is no news
		}
		f.after = f.number(&event)
		if !yield(event, nil) {
			return false, errStopped
		}
		if f.terminal(&event) {
			return true, nil
		}
	}
}

// malformedError is a whole line that is no event: nothing that a new
// connection would mend.
type malformedError struct {
	line []byte
	err  error
}

func (e *malformedError) Error() string {
	const show = 80
	line := e.line
	if len(line) > show {
		line = line[:show]
	}
	return fmt.Sprintf("the server sent what is no event: %v: %q", e.err, line)
}

func (e *malformedError) Unwrap() error { return e.err }

// final reports whether trying again cannot help.
func final(err error) bool {
	var malformed *malformedError
	if errors.As(err, &malformed) || errors.Is(err, errLineTooLong) {
		return true
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false // the connection, or its end
	}
	code := int(status.Status().Code)
	return code < 500 && code != http.StatusTooManyRequests && code != http.StatusRequestTimeout ||
		code == http.StatusNotImplemented
}

// wait is the time before the next connection: what the server asks for, else
// twice as long each time, and a part of it at random, so that the readers of
// a restarted server do not come back as one.
func wait(attempt int, err error) time.Duration {
	delay := lastWait
	if attempt < 10 {
		delay = min(lastWait, firstWait<<attempt)
	}
	if seconds, ok := apierrors.SuggestsClientDelay(err); ok {
		delay = max(delay, time.Duration(seconds)*time.Second)
	}
	return delay/2 + rand.N(delay/2+1)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

var errLineTooLong = fmt.Errorf("the server sent an event of more than %d bytes", maxLine)

// lineReader cuts a stream into lines. A line ends with a newline: what comes
// after the last one was cut off and is nothing.
type lineReader struct {
	r    *bufio.Reader
	line []byte
}

func newLineReader(r io.Reader) *lineReader { return &lineReader{r: bufio.NewReader(r)} }

// next gives the next line that is not empty, valid until the call after.
// Empty lines keep quiet connections alive.
func (l *lineReader) next() ([]byte, error) {
	l.line = l.line[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		l.line = append(l.line, part...)
		switch {
		case len(l.line) > maxLine:
			return nil, errLineTooLong
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			return nil, err
		}
		if line := bytes.TrimSpace(l.line); len(line) > 0 {
			return line, nil
		}
		l.line = l.line[:0]
	}
}
