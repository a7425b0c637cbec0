// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"

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

// slot is what is known of a key: what was acknowledged and what may be there
// because its write was not answered.
type slot struct {
	acked string
	maybe []string
	rev   int64
}

// slots is what is known of a journal owner.
type slots struct {
	acked map[int64]string
	maybe map[int64]string
	// dropping says that a drop was not answered.
	dropping bool
	last     int64
}

// worker is the only one to change its keys and owners, one at a time.
type worker struct {
	s       *tortured
	id      int
	rng     *rand.Rand
	n       int
	keys    map[string]*slot
	journal map[journal.Owner]*slots
}

// step does one operation. It returns false if the store takes no more.
func (w *worker) step() bool {
	w.n++
	switch r := w.rng.IntN(100); {
	case r < 60:
		return w.put()
	case r < 70:
		return w.delete()
	case r < 88:
		return w.append()
	case r < 92:
		return w.drop()
	default:
		return w.get()
	}
}

func (w *worker) slot() (string, *slot) {
	key := fmt.Sprintf("/w%d/%d", w.id, w.rng.IntN(12))
	if w.keys[key] == nil {
		w.keys[key] = &slot{}
	}
	return key, w.keys[key]
}

func (w *worker) value() string {
	return fmt.Sprintf("%d.%d.%s", w.id, w.n, strings.Repeat("x", w.rng.IntN(1500)))
}

// session is how the API server writes: answered when staged, acknowledged when
// settled, some of it with another's sync. A third of the writes go without.
func (w *worker) session() (context.Context, func(context.Context) error) {
	ctx := context.Background()
	switch w.rng.IntN(3) {
	case 0:
		return w.s.db.Session(ctx)
	case 1:
		return w.s.db.Ahead(ctx)
	default:
		return ctx, func(context.Context) error { return nil }
	}
}

func (w *worker) put() bool {
	key, sl := w.slot()
	value := w.value()
	ctx, settle := w.session()
	// What is staged before a put is durable if the put is.
	owner := journal.Owner(fmt.Sprintf("w%d/staged", w.id))
	js := w.owner(owner)
	number := js.last + 1
	js.last = number
	js.maybe[number] = value
	pending := w.s.db.Journal().Stage(ctx, journal.Record{Owner: owner, Number: number, Data: []byte(value)})
	if err := journal.Refused(pending); err != nil {
		// Nothing was staged. On a disk that is full for a moment the put may go
		// through all the same.
		return w.refused(err)
	}
	sl.maybe = append(sl.maybe, value)
	resp, err := w.s.db.Client().Kubernetes.OptimisticPut(ctx, key, []byte(value), sl.rev, kubernetes.PutOptions{GetOnFailure: true})
	if err != nil {
		return w.refused(err)
	}
	if !resp.Succeeded {
		w.s.Errorf("put %s at %d: %+v", key, sl.rev, resp.KV)
		return false
	}
	if err := settle(ctx); err != nil {
		return w.refused(err)
	}
	*sl = slot{acked: value, rev: resp.Revision}
	w.acked(resp.Revision)
	if err := pending.Wait(ctx); err == nil {
		js.ack(number)
	}
	return true
}

func (s *slots) ack(number int64) {
	s.acked[number] = s.maybe[number]
	delete(s.maybe, number)
}

func (w *worker) delete() bool {
	key, sl := w.slot()
	sl.maybe = append(sl.maybe, "")
	ctx, settle := w.session()
	resp, err := w.s.db.Client().Kubernetes.OptimisticDelete(ctx, key, sl.rev, kubernetes.DeleteOptions{})
	if err != nil {
		return w.refused(err)
	}
	if !resp.Succeeded {
		w.s.Errorf("delete %s at %d failed", key, sl.rev)
		return false
	}
	if err := settle(ctx); err != nil {
		return w.refused(err)
	}
	*sl = slot{}
	w.acked(resp.Revision)
	return true
}

func (w *worker) get() bool {
	key, sl := w.slot()
	resp, err := w.s.db.Client().Kubernetes.Get(context.Background(), key, kubernetes.GetOptions{})
	if err != nil {
		return w.refused(err)
	}
	got := ""
	if resp.KV != nil {
		got = string(resp.KV.Value)
	}
	if got != sl.acked {
		w.s.Errorf("get %s: %.20q, want %.20q", key, got, sl.acked)
	}
	return true
}

func (w *worker) owner(owner journal.Owner) *slots {
	if w.journal[owner] == nil {
		w.journal[owner] = &slots{acked: map[int64]string{}, maybe: map[int64]string{}}
	}
	return w.journal[owner]
}

func (w *worker) append() bool {
	owner := journal.Owner(fmt.Sprintf("w%d/j/%d", w.id, w.rng.IntN(3)))
	js := w.owner(owner)
	var records []journal.Record
	for range 1 + w.rng.IntN(4) {
		js.last += int64(1 + w.rng.IntN(2))
		js.maybe[js.last] = w.value()
		records = append(records, journal.Record{Owner: owner, Number: js.last, Data: []byte(js.maybe[js.last])})
	}
	if len(js.acked) > 0 && w.rng.IntN(4) == 0 {
		// A repetition is a no-op whatever it holds.
		for number := range js.acked {
			records = append(records, journal.Record{Owner: owner, Number: number, Data: []byte("again")})
			break
		}
	}
	if err := w.s.db.Journal().Append(context.Background(), records...); err != nil {
		return w.refused(err)
	}
	for _, r := range records {
		if _, again := js.acked[r.Number]; !again {
			js.ack(r.Number)
		}
	}
	return true
}

func (w *worker) drop() bool {
	root := journal.Owner(fmt.Sprintf("w%d/j", w.id))
	if w.rng.IntN(2) == 0 {
		root = journal.Owner(fmt.Sprintf("%s/%d", root, w.rng.IntN(3)))
	}
	var hit []*slots
	for owner, js := range w.journal {
		if owner == root || strings.HasPrefix(string(owner), string(root)+"/") {
			js.dropping = true
			hit = append(hit, js)
		}
	}
	if err := w.s.db.Journal().Drop(context.Background(), root); err != nil {
		return w.refused(err)
	}
	for _, js := range hit {
		*js = slots{acked: map[int64]string{}, maybe: map[int64]string{}, last: js.last}
	}
	return true
}

func (w *worker) acked(rev int64) {
	for {
		old := w.s.floor.Load()
		if rev <= old || w.s.floor.CompareAndSwap(old, rev) {
			return
		}
	}
}

// refused ends the worker's load: the outcome of the operation is open.
func (w *worker) refused(err error) bool {
	if errors.Is(err, ErrCorrupt) {
		w.s.Errorf("under load: %v", err)
	}
	return false
}

// check compares what is there with what may be there, and settles what was
// open.
func (w *worker) check(have map[string]string) {
	s := w.s
	s.Helper()
	for key, sl := range w.keys {
		got := have[key]
		if got != sl.acked && !slices.Contains(sl.maybe, got) {
			s.Errorf("%s is %.20q; %.20q was acknowledged, %d writes unanswered", key, got, sl.acked, len(sl.maybe))
		}
		*sl = slot{acked: got}
		if got != "" {
			resp, err := s.db.Client().Kubernetes.Get(context.Background(), key, kubernetes.GetOptions{})
			if err != nil || resp.KV == nil || string(resp.KV.Value) != got {
				s.Errorf("get %s: %v, %v", key, resp.KV, err)
				continue
			}
			sl.rev = resp.KV.ModRevision
		}
	}
	staged := map[string]bool{}
	for owner, js := range w.journal {
		records, err := s.db.Journal().Read(context.Background(), owner, 0, 0)
		if err != nil {
			s.Errorf("journal %s: %v", owner, err)
			continue
		}
		got := map[int64]string{}
		for _, r := range records {
			got[r.Number] = string(r.Data)
			staged[string(r.Data)] = true
			if want, ok := js.acked[r.Number]; (!ok || want != string(r.Data)) && js.maybe[r.Number] != string(r.Data) {
				s.Errorf("journal %s/%d is %.20q", owner, r.Number, r.Data)
			}
		}
		missing := 0
		for number := range js.acked {
			if _, ok := got[number]; !ok {
				missing++
			}
		}
		if missing > 0 && (!js.dropping || missing != len(js.acked)) {
			s.Errorf("journal %s: %d of %d acknowledged records are missing (dropping %v)", owner, missing, len(js.acked), js.dropping)
		}
		*js = slots{acked: got, maybe: map[int64]string{}, last: js.last}
	}
	for key, sl := range w.keys {
		if sl.acked != "" && !staged[sl.acked] {
			s.Errorf("%s is %.20q, but what was staged before it is missing", key, sl.acked)
		}
	}
}
