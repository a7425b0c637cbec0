// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"safebeam.dev/safebeam/pkg/journal"
	"safebeam.dev/safebeam/pkg/storage/bbolt/vfs/faultfs"
)

var (
	tortureRounds = flag.Int("torture", 0, "rounds of fault injection (default 120, or TORTURE_ROUNDS)")
	tortureSeed   = flag.Uint64("torture.seed", 0, "first seed of fault injection (default: by the clock)")
)

func rounds(t *testing.T) (n int, seed uint64) {
	n, seed = *tortureRounds, *tortureSeed
	if n == 0 {
		n, _ = strconv.Atoi(os.Getenv("TORTURE_ROUNDS"))
	}
	if n == 0 {
		n = 120
	}
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("%d rounds from seed %d: repeat with -torture=%d -torture.seed=%d", n, seed, n, seed)
	return n, seed
}

// TestNothingAcknowledgedIsLostWhateverTheDiskDoes runs random load on a disk
// that fails in random ways, round after round on the same store, and compares
// what is there afterwards with what was acknowledged.
func TestNothingAcknowledgedIsLostWhateverTheDiskDoes(t *testing.T) {
	t.Parallel()
	n, seed := rounds(t)
	const perStore = 30
	kinds := map[string]int{}
	for i := 0; i < n; i += perStore {
		s := newTortured(t, seed+uint64(i))
		for range min(perStore, n-i) {
			kinds[s.round()]++
			if t.Failed() {
				t.Fatalf("round %d of the store with seed %d", s.rounds, seed+uint64(i))
			}
		}
		s.end()
	}
	t.Logf("rounds by how they ended: %v", kinds)
}

// tortured is a store under load, and the model of it.
type tortured struct {
	*testing.T
	rng     *rand.Rand
	fs      *faultfs.FS
	dir     string
	workers []*worker
	rounds  int
	db      *DB

	// seen are the events that a watch delivered, by revision.
	seen map[int64]string
	// floor is the greatest revision that was acknowledged.
	floor atomic.Int64
	// fault fails checkpoints.
	fault atomic.Pointer[error]
	// passes is how many transactions of a checkpoint succeed before.
	passes atomic.Int64
}

const torturedWorkers = 6

func newTortured(t *testing.T, seed uint64) *tortured {
	s := &tortured{
		T: t, rng: rand.New(rand.NewPCG(seed, 1)), fs: faultfs.New(seed), dir: t.TempDir(), seen: map[int64]string{},
	}
	for i := range torturedWorkers {
		s.workers = append(s.workers, &worker{
			s: s, id: i, rng: rand.New(rand.NewPCG(seed, uint64(i)+100)),
			keys: map[string]*slot{}, journal: map[journal.Owner]*slots{},
		})
	}
	return s
}

func (s *tortured) open() {
	s.Helper()
	db, err := Open(Options{
		Dir: s.dir, FS: s.fs, SegmentBytes: minSegmentBytes, HistoryBytes: 16 << 10, CheckpointBytes: 64 << 10,
		CheckpointInterval: 3 * time.Millisecond, MaxDirtyBytes: 256 << 10,
		CompactionMinEvents: 200, ProgressNotifyInterval: time.Hour, noSync: true, chunkKeys: 7,
		checkpointFault: func() error {
			// Some transactions of a checkpoint go through before one fails.
			if err := s.fault.Load(); err != nil && s.passes.Add(-1) < 0 {
				return *err
			}
			return nil
		},
	})
	if err != nil {
		s.Fatalf("round %d: %v", s.rounds, err)
	}
	s.db = db
}

// round runs load until something happens, ends the store accordingly, opens it
// again and checks it.
func (s *tortured) round() string {
	s.rounds++
	s.open()
	s.check()
	if s.Failed() {
		return ""
	}
	ctx, cancel := context.WithCancel(context.Background())
	watched := s.watch(ctx)

	kind := []string{"close", "kill", "power", "power", "power", "eio-write", "eio-sync", "full", "checkpoint-eio", "checkpoint-full"}[s.rng.IntN(10)]
	ops := 20 + s.rng.IntN(400)
	stop := make(chan struct{})
	var once sync.Once
	halt := func() { once.Do(func() { close(stop) }) }
	down := s.arm(kind, ops, halt)

	var load sync.WaitGroup
	for _, w := range s.workers {
		load.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if i > ops {
					halt()
				}
				if !w.step() {
					halt()
					return
				}
			}
		})
	}
	load.Go(func() {
		// Housekeeping at odd moments.
		for range s.rng.IntN(4) {
			switch s.rng.IntN(3) {
			case 0:
				s.db.Checkpoint(context.Background())
			case 1:
				if rev := s.db.Revision() - int64(s.rng.IntN(50)); rev > 1 {
					s.db.Compact(context.Background(), rev)
				}
			case 2:
				s.db.Defragment(context.Background())
			}
		}
	})
	load.Wait()
	s.disarm(kind, down)
	cancel()
	for rev, what := range <-watched {
		s.seen[rev] = what
	}
	return kind
}

// arm installs the fault of the round: it strikes after a number of operations
// of the log.
func (s *tortured) arm(kind string, ops int, halt func()) *atomic.Bool {
	down := new(atomic.Bool)
	var n atomic.Int64
	after := int64(1 + s.rng.IntN(ops))
	short := s.rng.IntN(6000)
	strike := func() bool { return n.Add(1) >= after }
	switch kind {
	case "power":
		s.fs.SetFault(func(faultfs.Op, string) (error, int) {
			if down.Load() || strike() {
				down.Store(true)
				halt()
				return faultfs.ErrCrashed, 0
			}
			return nil, 0
		})
	case "eio-write", "eio-sync":
		s.fs.SetFault(func(op faultfs.Op, _ string) (error, int) {
			hit := (op == faultfs.OpWrite && kind == "eio-write") || (op == faultfs.OpSync && kind == "eio-sync")
			if hit && strike() && !down.Swap(true) {
				return syscall.EIO, short
			}
			return nil, 0
		})
	case "full":
		s.fs.SetLimit(1)
	case "checkpoint-eio", "checkpoint-full":
		err := error(syscall.ENOSPC)
		if kind == "checkpoint-eio" {
			err = syscall.EIO
		}
		s.passes.Store(s.rng.Int64N(12))
		s.fault.Store(&err)
	}
	return down
}

// disarm ends the store in the way of the round.
func (s *tortured) disarm(kind string, down *atomic.Bool) {
	s.Helper()
	ready := s.db.Ready()
	switch kind {
	case "eio-write", "eio-sync":
		// The fault may have hit a segment that was being prepared, which
		// passes.
		if s.db.failed() != nil && ready == nil {
			s.Errorf("ready after a failed commit")
		}
	case "checkpoint-eio":
		if s.db.failed() == nil && s.db.Stats().DirtyBytes > 0 {
			// It had no checkpoint to make.
			s.passes.Store(0)
			if err := s.db.Checkpoint(context.Background()); err == nil {
				s.Errorf("a checkpoint succeeded on a failing disk")
			}
		}
	}
	switch {
	case kind == "close" || kind == "full" && s.rng.IntN(2) == 0:
		s.fs.SetLimit(0)
		s.fs.SetFault(nil)
		if err := s.db.Close(); err != nil {
			s.Errorf("close: %v", err)
		}
	case kind == "power":
		s.fs.Crash()
		s.db.abandon()
		s.fs.Revive()
	default:
		s.db.abandon()
		if s.rng.IntN(2) == 0 {
			s.fs.Crash()
			s.fs.Revive()
		}
	}
	s.fs.SetFault(nil)
	s.fs.SetLimit(0)
	s.fault.Store(nil)
}

// watch collects what a watch from the head on delivers.
func (s *tortured) watch(ctx context.Context) <-chan map[int64]string {
	out := make(chan map[int64]string, 1)
	c := s.db.Client().Watch(ctx, "/", clientv3.WithPrefix(), clientv3.WithRev(s.db.Revision()+1), clientv3.WithPrevKV())
	go func() {
		seen := map[int64]string{}
		last := int64(0)
		for r := range c {
			for _, ev := range r.Events {
				if ev.Kv.ModRevision <= last {
					s.Errorf("watch: revision %d after %d", ev.Kv.ModRevision, last)
				}
				last = ev.Kv.ModRevision
				seen[last] = describe(ev)
			}
		}
		out <- seen
	}()
	return out
}

func describe(ev *clientv3.Event) string {
	prev := "-"
	if ev.PrevKv != nil {
		prev = fmt.Sprintf("%x@%d", ev.PrevKv.Value, ev.PrevKv.ModRevision)
	}
	return fmt.Sprintf("%v %s %x v%d %s", ev.Type, ev.Kv.Key, ev.Kv.Value, ev.Kv.Version, prev)
}

// check compares the store with the model.
func (s *tortured) check() {
	s.Helper()
	db := s.db
	if head := db.Revision(); head < s.floor.Load() {
		s.Errorf("revision %d, but %d was acknowledged", head, s.floor.Load())
	}
	list, err := db.readRange(context.Background(), rangeRequest{keys: prefixRange("/")})
	if err != nil {
		s.Errorf("list: %v", err)
		return
	}
	have := map[string]string{}
	for _, kv := range list.kvs {
		have[string(kv.Key)] = string(kv.Value)
	}
	if int64(len(have)) != list.count {
		s.Errorf("%d keys, count %d", len(have), list.count)
	}
	for _, w := range s.workers {
		w.check(have)
	}
	s.checkHistory(have)
}

// checkHistory rebuilds the present from the past, and finds in it what the
// watches saw.
func (s *tortured) checkHistory(have map[string]string) {
	s.Helper()
	db, head := s.db, s.db.Revision()
	from := max(db.CompactRevision(), 1)
	if head > from {
		from += s.rng.Int64N(head - from)
	}
	past, err := db.readRange(context.Background(), rangeRequest{keys: prefixRange("/"), rev: from})
	if err != nil {
		s.Errorf("list at %d (compacted %d, head %d): %v", from, db.CompactRevision(), head, err)
		return
	}
	got := map[string]string{}
	for _, kv := range past.kvs {
		got[string(kv.Key)] = string(kv.Value)
	}
	next := from + 1
	err = db.events(from+1, head, func(ev *event) bool {
		if ev.rev != next {
			s.Errorf("history: revision %d, want %d", ev.rev, next)
		}
		next++
		if saw, ok := s.seen[ev.rev]; ok && saw != describe(ev.clientEvent()) {
			s.Errorf("revision %d is %s, a watch saw %s", ev.rev, describe(ev.clientEvent()), saw)
		}
		if ev.deleted {
			delete(got, ev.cur.key)
		} else {
			got[ev.cur.key] = string(ev.cur.value)
		}
		return true
	})
	if err != nil || next != head+1 {
		s.Errorf("history from %d ends at %d, head is %d: %v", from, next-1, head, err)
	}
	if !maps.Equal(got, have) {
		s.Errorf("history from %d does not lead to the present", from)
	}
	for rev := range s.seen {
		if rev > head {
			s.Errorf("a watch saw revision %d, the store is at %d", rev, head)
		}
	}
}

func (s *tortured) end() {
	s.open()
	s.check()
	if err := s.db.Close(); err != nil {
		s.Error(err)
	}
}
