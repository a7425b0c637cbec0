// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"sync/atomic"
	"time"
)

// metrics counts what the committer does.
type metrics struct {
	commits     atomic.Int64
	records     atomic.Int64
	recordBytes atomic.Int64
	syncNanos   atomic.Int64
	writeNanos  atomic.Int64
}

func (m *metrics) committed(b *batch, bytes int, write, sync time.Duration) {
	m.commits.Add(1)
	m.records.Add(int64(b.count))
	m.recordBytes.Add(int64(bytes))
	m.writeNanos.Add(int64(write))
	m.syncNanos.Add(int64(sync))
}
