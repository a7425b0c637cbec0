// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"fmt"
	"testing"
	"time"
)

func TestACheckpointBeginsAsSoonAsEnoughLogAwaitsIt(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{}, 1)
	db := openTest(t, Options{
		CheckpointInterval: time.Hour, CheckpointBytes: 64 << 10, noSync: true,
		checkpointFault: func() error {
			select {
			case begun <- struct{}{}:
			default:
			}
			return nil
		},
	})
	for i := 0; db.pub.dirtyBytes() < db.opts.CheckpointBytes && len(begun) == 0; i++ {
		mustPut(t, db, fmt.Sprintf("/p/%04d", i), string(benchValue(i)), 0)
	}
	select {
	case <-begun:
	case <-time.After(10 * time.Second):
		t.Errorf("there is none with %d bytes of log to fold", db.pub.dirtyBytes())
	}
}

// dirtyBytes is the log that the next checkpoint will fold.
func (p *publisher) dirtyBytes() int64 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.dirty.bytes
}

func TestCommitsSlowDownBeforeTheyStop(t *testing.T) {
	t.Parallel()
	db := &DB{opts: Options{MaxDirtyBytes: 1000}}
	for _, c := range []struct {
		dirty int64
		want  time.Duration
	}{
		{0, 0},
		{500, 0},
		{750, maxPace / 2},
		{1000, maxPace},
	} {
		db.dirtyBytes = c.dirty
		if got := db.pace(); got != c.want {
			t.Errorf("with %d of 1000 bytes awaiting a checkpoint commits wait %v, want %v", c.dirty, got, c.want)
		}
	}
}
