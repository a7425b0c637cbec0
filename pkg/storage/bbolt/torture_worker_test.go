// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"go.etcd.io/etcd/client/v3/kubernetes"

	"safebeam.dev/safebeam/pkg/journal"
)

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
