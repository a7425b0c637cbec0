// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	clientkubernetes "go.etcd.io/etcd/client/v3/kubernetes"
)

// These tests do the same random things to our engine and to an etcd and want
// the same answers, down to revisions: both begin at revision 1.

// answer is what a client saw, in a form that compares.
type answer struct {
	Op        string
	Err       string
	Succeeded bool
	Revision  int64
	Count     int64
	More      bool
	Items     []item
}

type item struct {
	Key, Value           string
	Create, Mod, Version int64
}

// errName is the kind of an error: texts differ, kinds must not.
func errName(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, rpctypes.ErrCompacted):
		return "compacted"
	case errors.Is(err, rpctypes.ErrFutureRev):
		return "future"
	default:
		return "other: " + err.Error()
	}
}

// world is what the operations are chosen from. It is told by the first
// engine's answers, which are the same as the second's.
type world struct {
	random    *rand.Rand
	keys      []string
	mods      map[string]int64
	revision  int64
	compacted int64
}

func newWorld(random *rand.Rand) *world {
	w := &world{random: random, mods: map[string]int64{}, revision: 1}
	for _, folder := range []string{"/a/", "/a/b/", "/ab/", "/b/"} {
		for i := range 6 {
			w.keys = append(w.keys, fmt.Sprintf("%s%d", folder, i))
		}
	}
	return w
}

// watchSlack is how many revisions a watch of the test may be behind.
const watchSlack = 400

func (w *world) key() string { return pick(w.random, w.keys...) }

func (w *world) prefix() string {
	return pick(w.random, "/", "/a/", "/a", "/a/b/", "/b/", "/c/", w.key())
}

// expected is a revision that a writer believes a key to have: the right one,
// none, or an old one.
func (w *world) expected(key string) int64 {
	return pick(w.random, w.mods[key], w.mods[key], w.mods[key], 0, w.mods[key]-1, w.revision+5)
}

// past is a revision to read at; mostly one that can be read.
func (w *world) past() int64 {
	if w.random.IntN(12) == 0 {
		return pick(w.random, w.revision+3, w.compacted-1, 1)
	}
	return w.compacted + w.random.Int64N(w.revision-w.compacted+1)
}

// operation is one request, to be made of both.
type operation func(ctx context.Context, c *clientkubernetes.Client) answer

func (w *world) next() operation {
	key := w.key()
	switch n := w.random.IntN(100); {
	case n < 40:
		return putOp(key, fmt.Sprintf("value %d", w.random.IntN(1000)), w.expected(key), w.random.IntN(2) == 0)
	case n < 55:
		return deleteOp(key, w.expected(key), w.random.IntN(2) == 0)
	case n < 63:
		return getOp(key)
	case n < 80:
		return listOp(w.prefix(), pick(w.random, 0, 0, w.past()), pick[int64](w.random, 0, 1, 2, 3, 100), pick(w.random, "", "", w.key()+"\x00"))
	case n < 85:
		return countOp(w.prefix())
	case n < 98:
		return rangeOp(w.prefix(), pick(w.random, 0, w.past()), pick[int64](w.random, 0, 1, 4), w.random.IntN(3) == 0)
	default:
		// What is given up is so old that the watches, which are read all the
		// time, are past it. 0 is refused here and accepted once by etcd.
		old := max(1, w.revision-watchSlack)
		return compactOp(pick(w.random, max(1, w.compacted, old/2), max(1, w.compacted), old, w.revision+2))
	}
}

func putOp(key, value string, expected int64, onFailure bool) operation {
	return func(ctx context.Context, c *clientkubernetes.Client) answer {
		r, err := c.Kubernetes.OptimisticPut(ctx, key, []byte(value), expected, clientkubernetes.PutOptions{GetOnFailure: onFailure})
		a := answer{Op: fmt.Sprintf("put %s at %d", key, expected), Err: errName(err), Succeeded: r.Succeeded, Revision: r.Revision}
		if !r.Succeeded && r.KV != nil {
			a.Items = items(r.KV)
		}
		return a
	}
}

func deleteOp(key string, expected int64, onFailure bool) operation {
	return func(ctx context.Context, c *clientkubernetes.Client) answer {
		r, err := c.Kubernetes.OptimisticDelete(ctx, key, expected, clientkubernetes.DeleteOptions{GetOnFailure: onFailure})
		a := answer{Op: fmt.Sprintf("delete %s at %d", key, expected), Err: errName(err), Succeeded: r.Succeeded, Revision: r.Revision}
		if !r.Succeeded && r.KV != nil {
			a.Items = items(r.KV)
		}
		return a
	}
}

func getOp(key string) operation {
	return func(ctx context.Context, c *clientkubernetes.Client) answer {
		r, err := c.Kubernetes.Get(ctx, key, clientkubernetes.GetOptions{})
		return answer{Op: "get " + key, Err: errName(err), Revision: r.Revision, Items: items(r.KV)}
	}
}

func listOp(prefix string, rev, limit int64, start string) operation {
	return func(ctx context.Context, c *clientkubernetes.Client) answer {
		r, err := c.Kubernetes.List(ctx, prefix, clientkubernetes.ListOptions{Revision: rev, Limit: limit, Continue: start})
		return answer{
			Op:  fmt.Sprintf("list %s from %q at %d, limit %d", prefix, start, rev, limit),
			Err: errName(err), Revision: r.Revision, Count: r.Count, Items: items(r.Kvs...),
		}
	}
}

func countOp(prefix string) operation {
	return func(ctx context.Context, c *clientkubernetes.Client) answer {
		n, err := c.Kubernetes.Count(ctx, prefix, clientkubernetes.CountOptions{})
		return answer{Op: "count " + prefix, Err: errName(err), Count: n}
	}
}

func rangeOp(prefix string, rev, limit int64, keysOnly bool) operation {
	opts := []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithRev(rev), clientv3.WithLimit(limit)}
	if keysOnly {
		opts = append(opts, clientv3.WithKeysOnly())
	}
	return func(ctx context.Context, c *clientkubernetes.Client) answer {
		a := answer{Op: fmt.Sprintf("range %s at %d, limit %d, keys only %t", prefix, rev, limit, keysOnly)}
		r, err := c.KV.Get(ctx, prefix, opts...)
		if a.Err = errName(err); err == nil {
			a.Revision, a.Count, a.More, a.Items = r.Header.Revision, r.Count, r.More, items(r.Kvs...)
		}
		return a
	}
}

func compactOp(rev int64) operation {
	return func(ctx context.Context, c *clientkubernetes.Client) answer {
		_, err := c.KV.Compact(ctx, rev)
		return answer{Op: fmt.Sprintf("compact %d", rev), Err: errName(err), Count: rev}
	}
}

// learn takes note of what an operation did.
func (w *world) learn(a answer) {
	w.revision = max(w.revision, a.Revision)
	var key string
	var rev int64
	if n, _ := fmt.Sscanf(a.Op, "put %s at %d", &key, &rev); n == 2 && a.Succeeded {
		w.mods[key] = a.Revision
	}
	if n, _ := fmt.Sscanf(a.Op, "delete %s at %d", &key, &rev); n == 2 && a.Succeeded {
		w.mods[key] = 0
	}
	if n, _ := fmt.Sscanf(a.Op, "compact %d", &rev); n == 1 && a.Err == "" {
		w.compacted = rev
	}
}

// watched is a watch on both.
type watched struct {
	what          string
	ours, control chan []string
}

func TestOurClientAnswersAsEtcdDoes(t *testing.T) {
	random := newRandom(t)
	mine, theirs := openBBolt(t, time.Hour), openEtcd(t, time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	w := newWorld(random)
	var watches []watched
	for n := range rounds(t, 3000) {
		if n%100 == 0 {
			from := max(w.revision-random.Int64N(20), w.compacted+2)
			prefix := w.prefix()
			follow := func(c *clientkubernetes.Client) chan []string {
				events := c.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(from), clientv3.WithPrevKV())
				all := make(chan []string, 1)
				go func() { all <- collect(ctx, events) }()
				return all
			}
			watches = append(watches, watched{
				what: fmt.Sprintf("watch of %s from %d", prefix, from),
				ours: follow(mine.client), control: follow(theirs.client),
			})
		}
		op := w.next()
		got, want := op(ctx, mine.client), op(ctx, theirs.client)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("operation %d, %s: -etcd +ours\n%s", n, want.Op, diff)
		}
		w.learn(got)
	}
	// A last write under every prefix ends the watches.
	for _, prefix := range append([]string{"/", "/a", "/c/"}, w.keys...) {
		op := putOp(prefix+"~end", "end", 0, false)
		if diff := cmp.Diff(op(ctx, theirs.client), op(ctx, mine.client)); diff != "" {
			t.Fatalf("-etcd +ours\n%s", diff)
		}
	}
	for _, watch := range watches {
		if diff := cmp.Diff(<-watch.control, <-watch.ours); diff != "" {
			t.Errorf("%s: -etcd +ours\n%s", watch.what, diff)
		}
	}
}

// collect returns a watch's events up to the last of the test's end, or until
// it is cancelled.
func collect(ctx context.Context, c clientv3.WatchChan) (events []string) {
	for r := range c {
		if r.Canceled {
			return append(events, fmt.Sprintf("cancelled, compacted at %d", r.CompactRevision))
		}
		for _, e := range r.Events {
			events = append(events, fmt.Sprintf("%v %v <- %v", e.Type, items(e.Kv), items(e.PrevKv)))
			if string(e.Kv.Value) == "end" {
				return events
			}
		}
		if ctx.Err() != nil {
			return append(events, "timed out")
		}
	}
	return append(events, "closed")
}

func items(kvs ...*mvccpb.KeyValue) (all []item) {
	for _, kv := range kvs {
		if kv != nil {
			all = append(all, item{string(kv.Key), string(kv.Value), kv.CreateRevision, kv.ModRevision, kv.Version})
		}
	}
	return all
}
