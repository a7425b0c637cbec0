// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"os"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"safebeam.dev/safebeam/pkg/storage/bbolt/vfs"
)

// Options configure Open. Only Dir is required.
type Options struct {
	// Dir is the data directory. It is made if it does not exist.
	Dir string

	// Logger defaults to klog's.
	Logger *klog.Logger

	// Clock defaults to the real one.
	Clock clock.WithTicker

	// FS is where the log lives; it defaults to the operating system's. The
	// checkpoint file is always bbolt's own affair and lies in Dir.
	FS vfs.FS

	// SegmentBytes is the size that log segments grow to (16 MiB). A record that
	// needs more gets a segment of its own size.
	SegmentBytes int64

	// CheckpointInterval (5 s) and CheckpointBytes (64 MiB of log) say when the
	// changes since the last checkpoint are folded into bbolt.
	CheckpointInterval time.Duration
	CheckpointBytes    int64

	// MaxDirtyBytes is how much log may await its checkpoint before writers
	// have to wait for it (256 MiB). It bounds memory and recovery time.
	MaxDirtyBytes int64

	// HistoryBytes bounds the memory that holds recent events (32 MiB). Older
	// ones are read from the log.
	HistoryBytes int64

	// CompactionRetention (10 min) and CompactionMinEvents (10,000) say what
	// history is kept; the longer of the two counts. CompactionMaxBytes (1 GiB)
	// is the log that history may take, whatever the other two say.
	CompactionRetention time.Duration
	CompactionMinEvents int64
	CompactionMaxBytes  int64

	// ProgressNotifyInterval is how often an idle watch that asked for progress
	// gets a bookmark (5 s).
	ProgressNotifyInterval time.Duration

	// MaxBytes is the space that the store may take on disk: beyond it puts
	// and appends are refused, deletes and drops are not. 0 is no limit.
	MaxBytes int64

	// checkpointFault lets a test fail a checkpoint between its transactions.
	checkpointFault func() error
	// noSync lets a test that crashes no real machine go without the syncs of
	// bbolt.
	noSync bool
	// chunkKeys is how many keys one transaction of a checkpoint writes; tests
	// make it small to end between two.
	chunkKeys int64
	// maxGather bounds how long a commit waits for company (see gather).
	maxGather time.Duration
}

// Limits of a single write.
const (
	// MaxValueBytes fits what the API server takes, a body of 8 MiB, and what
	// an answer adds to it.
	MaxValueBytes = 12 << 20
	// MaxKeyBytes is bbolt's.
	MaxKeyBytes = 32 << 10
	// MaxAppendBytes is the size of the records of one journal append.
	MaxAppendBytes = 12 << 20
)

// minSegmentBytes leaves a segment some room beside its header.
const minSegmentBytes = 64 << 10

const (
	dirMode  os.FileMode = 0o700
	fileMode os.FileMode = 0o600
)

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		logger := klog.Background().WithName("store")
		o.Logger = &logger
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.FS == nil {
		o.FS = vfs.OS
	}
	setDefault(&o.SegmentBytes, 16<<20)
	o.SegmentBytes = max(minSegmentBytes, (o.SegmentBytes+pageSize-1)&^(pageSize-1))
	setDefault(&o.CheckpointInterval, 5*time.Second)
	setDefault(&o.CheckpointBytes, 64<<20)
	setDefault(&o.MaxDirtyBytes, 256<<20)
	o.MaxDirtyBytes = max(o.MaxDirtyBytes, o.CheckpointBytes)
	setDefault(&o.HistoryBytes, 32<<20)
	setDefault(&o.CompactionRetention, 10*time.Minute)
	setDefault(&o.CompactionMinEvents, 10_000)
	setDefault(&o.CompactionMaxBytes, 1<<30)
	setDefault(&o.ProgressNotifyInterval, 5*time.Second)
	setDefault(&o.chunkKeys, chunkKeys)
	setDefault(&o.maxGather, maxGather)
	return o
}

func setDefault[T int64 | time.Duration](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}
