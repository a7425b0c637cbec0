// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

// replayBatch bounds one read of history for a watcher, in events that match
// and in bytes that they hold.
const (
	replayBatch      = watchBatch
	replayBatchBytes = 2 << 20
	replayScan       = 64 << 10
)

// events calls fn for the events with from <= revision <= to in order, until it
// returns false: the recent ones from memory, older ones from the log. It
// returns errGone if history does not go back that far.
func (db *DB) events(from, to int64, fn func(*event) bool) error {
	p := &db.pub
	from = max(from, db.base+1)
	for from <= to {
		p.mu.RLock()
		first := p.history.first
		var recent []*event
		if from >= first {
			recent = p.history.slice(from, to, 4096)
		}
		p.mu.RUnlock()
		if from < first {
			more := true
			err := db.wal.scan(from, min(to, first-1), func(h recordHeader, payload []byte) (bool, error) {
				op, err := decodeOperation(h, payload)
				if err != nil {
					return false, corrupt("%v", err)
				}
				from = h.rev + 1
				more = fn(eventOf(&op))
				return more, nil
			})
			if err != nil || !more {
				return err
			}
			continue
		}
		for _, ev := range recent {
			from = ev.rev + 1
			if !fn(ev) {
				return nil
			}
		}
	}
	return nil
}

// replay returns the next events of keys from history and the revision after
// the last one looked at.
func (db *DB) replay(keys keyRange, from, to int64) (events []*event, next int64, err error) {
	next = max(from, db.base+1)
	var bytes int64
	scanned := 0
	err = db.events(from, to, func(ev *event) bool {
		next = ev.rev + 1
		scanned++
		if keys.contains(ev.cur.key) {
			events = append(events, ev)
			bytes += ev.bytes()
		}
		return len(events) < replayBatch && bytes < replayBatchBytes && scanned < replayScan
	})
	return events, next, err
}
