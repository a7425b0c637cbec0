// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"

	"k8s.io/apimachinery/pkg/types"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway/turns"
	"safebeam.dev/safebeam/pkg/journal"
	"safebeam.dev/safebeam/pkg/journal/messages"
	"safebeam.dev/safebeam/pkg/registry/stream"
	"safebeam.dev/safebeam/pkg/registry/tightbeam/conversation"
)

// messageLogs serves the message logs of conversations as streams. The answer of
// a turn that has ended is in what it reads.
type messageLogs struct {
	*messages.Log
	turns *turns.Broker
}

var _ conversation.Logs = &messageLogs{}

// Last implements conversation.Forks.
func (l *messageLogs) Last(ctx context.Context, conversation types.UID) (int64, error) {
	if err := l.turns.AwaitLog(ctx, conversation); err != nil {
		return 0, err
	}
	return l.Log.Last(ctx, conversation)
}

// Fork implements conversation.Forks.
func (l *messageLogs) Fork(ctx context.Context, from, to types.UID, after *int64) error {
	if err := l.turns.AwaitLog(ctx, from); err != nil {
		return err
	}
	return l.Log.Fork(ctx, from, to, after)
}

// Open reads a log. Who follows it gets what comes late as it comes.
func (l *messageLogs) Open(ctx context.Context, c *tightbeamv1.Conversation, options conversation.LogOptions) (stream.Reader, error) {
	if !options.Follow {
		if err := l.turns.AwaitLog(ctx, c.UID); err != nil {
			return nil, err
		}
	}
	entries := l.Read(ctx, c.UID, options.View, options.After, options.Follow)
	if options.View == tightbeamv1.LogViewProvider {
		history, err := l.History(ctx, c.UID)
		if err != nil {
			return nil, err
		}
		maxMessages := 0
		if h := c.Spec.History; h != nil && h.MaxMessages != nil {
			maxMessages = int(*h.MaxMessages)
		}
		entries = after(messages.Render(history, maxMessages), options.After)
	}
	if options.View == tightbeamv1.LogViewRaw && options.After > 0 {
		last, err := l.Last(ctx, c.UID)
		if err != nil {
			return nil, err
		}
		if options.After > last {
			return nil, &stream.CursorError{After: options.After, Last: last}
		}
	}
	return newEntryReader(entries, options.Limit), nil
}

func after(entries []tightbeamv1.LogEntry, index int64) iter.Seq2[tightbeamv1.LogEntry, error] {
	return func(yield func(tightbeamv1.LogEntry, error) bool) {
		for i := range entries {
			if entries[i].Index > index && !yield(entries[i], nil) {
				return
			}
		}
	}
}

// entryReader turns an iterator, which can only be waited for, into a Reader,
// which can be asked with a deadline. It reads one entry ahead.
type entryReader struct {
	records chan stream.Record
	done    chan struct{} // closed by Close
	err     error         // may be read once records is closed
	batch   [1]stream.Record
}

func newEntryReader(entries iter.Seq2[tightbeamv1.LogEntry, error], limit int64) *entryReader {
	r := &entryReader{records: make(chan stream.Record), done: make(chan struct{})}
	go r.pump(entries, limit)
	return r
}

func (r *entryReader) pump(entries iter.Seq2[tightbeamv1.LogEntry, error], limit int64) {
	defer close(r.records)
	r.err = io.EOF
	count := int64(0)
	for entry, err := range entries {
		if errors.Is(err, journal.ErrDropped) {
			return // the conversation is gone, and with it its log
		}
		if err == nil {
			var data []byte
			if data, err = json.Marshal(entry); err == nil {
				select {
				case r.records <- stream.Record{Number: entry.Index, Data: data}:
				case <-r.done:
					return
				}
			}
		}
		if err != nil {
			r.err = err
			return
		}
		if count++; count == limit {
			return
		}
	}
}

// Next implements stream.Reader.
func (r *entryReader) Next(ctx context.Context) ([]stream.Record, error) {
	select {
	case record, ok := <-r.records:
		if !ok {
			return nil, r.err
		}
		r.batch[0] = record
		return r.batch[:], nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close implements stream.Reader. The iterator ends with the context that it
// was opened with, which is the request's.
func (r *entryReader) Close() { close(r.done) }
