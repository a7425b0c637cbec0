// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package messages

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"iter"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/journal"
)

// Log is the message logs of all conversations. It is safe for concurrent use.
type Log struct {
	journal journal.Journal
	cache   *cache

	// writers order appends to one log; several logs may share one.
	writers [64]sync.Mutex
	seed    maphash.Seed
}

// New returns the logs in j and caches up to cacheBytes of them, decoded, so
// that a turn need not decode its whole history again.
func New(j journal.Journal, cacheBytes int64) *Log {
	return &Log{journal: j, cache: newCache(cacheBytes), seed: maphash.MakeSeed()}
}

// Root is the journal owner above everything that a conversation owns there.
func Root(conversation types.UID) journal.Owner {
	return journal.Owner("conversations/" + string(conversation))
}

func owner(conversation types.UID, view tightbeamv1.LogView) journal.Owner {
	if view == tightbeamv1.LogViewRouter {
		return Root(conversation) + "/router"
	}
	return Root(conversation) + "/messages"
}

// History returns the whole log of a conversation, staged entries included.
// The caller may not change it.
func (l *Log) History(ctx context.Context, conversation types.UID) ([]tightbeamv1.LogEntry, error) {
	if entries, ok := l.cache.get(conversation); ok {
		return entries, nil
	}
	unlock := l.lock(conversation)
	defer unlock()
	return l.load(ctx, conversation)
}

func (l *Log) load(ctx context.Context, conversation types.UID) ([]tightbeamv1.LogEntry, error) {
	if entries, ok := l.cache.get(conversation); ok {
		return entries, nil
	}
	// What was staged may have left the cache before it became durable.
	err := l.journal.Sync(ctx)
	var records []journal.Record
	if err == nil {
		records, err = l.journal.Read(ctx, owner(conversation, tightbeamv1.LogViewRaw), 0, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the log of conversation %s: %w", conversation, err)
	}
	entries := make([]tightbeamv1.LogEntry, 0, len(records))
	var size int64
	for _, r := range records {
		entry, err := decode(r)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry)
		size += int64(len(r.Data))
	}
	l.cache.put(conversation, entries, size)
	return entries, nil
}

// Stage appends those of the turn's entries that the log does not have yet,
// ordered before every later write (see journal.Journal.Stage). The entries
// are all that the turn has by now, from its first: the log has a prefix of
// them. Index, Turn and TurnUID are filled in here.
func (l *Log) Stage(ctx context.Context, conversation types.UID, turn *tightbeamv1.Turn, entries []tightbeamv1.LogEntry) (journal.Pending, error) {
	unlock := l.lock(conversation)
	defer unlock()
	history, err := l.load(ctx, conversation)
	if err != nil {
		return nil, err
	}
	have := 0
	for i := range history {
		if history[i].TurnUID == string(turn.UID) {
			have++
		}
	}
	if have >= len(entries) {
		return journal.Done(nil), nil
	}
	last := int64(0)
	if len(history) > 0 {
		last = history[len(history)-1].Index
	}
	// Whoever reads history does not look beyond its length, and this log's
	// lock is held: growing in place disturbs nobody.
	grown := history
	var records []journal.Record
	var size int64
	for _, entry := range entries[have:] {
		last++
		entry.Index, entry.Turn, entry.TurnUID = last, turn.Name, string(turn.UID)
		record, err := encode(owner(conversation, tightbeamv1.LogViewRaw), entry)
		if err != nil {
			return nil, err
		}
		records = append(records, record)
		grown = append(grown, entry)
		size += int64(len(record.Data))
	}
	pending := l.journal.Stage(ctx, records...)
	if err := journal.Refused(pending); err != nil {
		return nil, fmt.Errorf("writing the log of conversation %s: %w", conversation, err)
	}
	l.cache.grow(conversation, grown, size)
	return &staged{Pending: pending, failed: func() { l.cache.drop(conversation) }}, nil
}

// StageRouter appends an answer of the router to the router log, which is no
// part of the history.
func (l *Log) StageRouter(ctx context.Context, conversation types.UID, turn *tightbeamv1.Turn, entry tightbeamv1.LogEntry) (journal.Pending, error) {
	unlock := l.lock(conversation)
	defer unlock()
	router := owner(conversation, tightbeamv1.LogViewRouter)
	if err := l.journal.Sync(ctx); err != nil { // the answer before may be staged
		return nil, err
	}
	last, err := l.journal.Last(ctx, router)
	if err != nil {
		return nil, err
	}
	if last > 0 {
		// Turns run one after another, so an answer that is there already is
		// the last one.
		records, err := l.journal.Read(ctx, router, last-1, 1)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			if known, err := decode(r); err != nil {
				return nil, err
			} else if known.TurnUID == string(turn.UID) {
				return journal.Done(nil), nil
			}
		}
	}
	entry.Index, entry.Turn, entry.TurnUID = last+1, turn.Name, string(turn.UID)
	record, err := encode(router, entry)
	if err != nil {
		return nil, err
	}
	pending := l.journal.Stage(ctx, record)
	if err := journal.Refused(pending); err != nil {
		return nil, fmt.Errorf("writing the router log of conversation %s: %w", conversation, err)
	}
	return pending, nil
}

// Fork copies the log of one conversation, up to and with the index after
// (nil: all of it), to another that has none yet.
func (l *Log) Fork(ctx context.Context, from, to types.UID, after *int64) error {
	entries, err := l.History(ctx, from)
	if err != nil {
		return err
	}
	if after != nil {
		last := int64(0)
		if len(entries) > 0 {
			last = entries[len(entries)-1].Index
		}
		if *after > last {
			return &IndexError{Index: *after, Last: last}
		}
	}
	var records []journal.Record
	for _, entry := range entries {
		if after != nil && entry.Index > *after {
			break
		}
		record, err := encode(owner(to, tightbeamv1.LogViewRaw), entry)
		if err != nil {
			return err
		}
		records = append(records, record)
	}
	if len(records) == 0 {
		return nil
	}
	return l.journal.Append(ctx, records...)
}

// IndexError says that a log is shorter than what was asked of it.
type IndexError struct{ Index, Last int64 }

func (e *IndexError) Error() string {
	return fmt.Sprintf("index %d is past the end of the log, which has %d messages", e.Index, e.Last)
}

// Last returns the index of the last message, staged ones included.
func (l *Log) Last(ctx context.Context, conversation types.UID) (int64, error) {
	if err := l.journal.Sync(ctx); err != nil {
		return 0, err
	}
	return l.journal.Last(ctx, owner(conversation, tightbeamv1.LogViewRaw))
}

// Read yields the entries of the raw or the router view after an index, those
// staged before it included, and with follow waits for more until ctx ends or the
// conversation's log is dropped. The view provider is a function of the whole log: see
// Render.
func (l *Log) Read(ctx context.Context, conversation types.UID, view tightbeamv1.LogView, after int64, follow bool) iter.Seq2[tightbeamv1.LogEntry, error] {
	return func(yield func(tightbeamv1.LogEntry, error) bool) {
		emit := func(r journal.Record, err error) bool {
			if err != nil {
				yield(tightbeamv1.LogEntry{}, err)
				return false
			}
			entry, err := decode(r)
			return yield(entry, err) && err == nil
		}
		if follow {
			for r, err := range l.journal.Follow(ctx, owner(conversation, view), after) {
				if !emit(r, err) {
					return
				}
			}
			return
		}
		if err := l.journal.Sync(ctx); err != nil {
			yield(tightbeamv1.LogEntry{}, err)
			return
		}
		const page = 256
		for {
			records, err := l.journal.Read(ctx, owner(conversation, view), after, page)
			if err != nil {
				yield(tightbeamv1.LogEntry{}, err)
				return
			}
			for _, r := range records {
				if !emit(r, nil) {
					return
				}
				after = r.Number
			}
			if len(records) < page {
				return
			}
		}
	}
}

// Drop removes everything that a conversation has in the journal.
func (l *Log) Drop(ctx context.Context, conversation types.UID) error {
	unlock := l.lock(conversation)
	defer unlock()
	if err := l.journal.Drop(ctx, Root(conversation)); err != nil {
		return err
	}
	l.cache.drop(conversation)
	return nil
}

func (l *Log) lock(conversation types.UID) (unlock func()) {
	m := &l.writers[maphash.String(l.seed, string(conversation))%uint64(len(l.writers))]
	m.Lock()
	return m.Unlock
}

func encode(owner journal.Owner, entry tightbeamv1.LogEntry) (journal.Record, error) {
	data, err := json.Marshal(entry)
	if err != nil {
		return journal.Record{}, fmt.Errorf("encoding message %d of turn %q: %w", entry.Index, entry.Turn, err)
	}
	return journal.Record{Owner: owner, Number: entry.Index, Data: data}, nil
}

func decode(r journal.Record) (tightbeamv1.LogEntry, error) {
	var entry tightbeamv1.LogEntry
	if err := json.Unmarshal(r.Data, &entry); err != nil {
		return entry, fmt.Errorf("record %d of %s is no message: %w", r.Number, r.Owner, err)
	}
	return entry, nil
}

// staged forgets the cached log if its tail did not become durable.
type staged struct {
	journal.Pending
	failed func()
}

func (s *staged) Wait(ctx context.Context) error {
	err := s.Pending.Wait(ctx)
	if err != nil && ctx.Err() == nil {
		s.failed()
	}
	return err
}
