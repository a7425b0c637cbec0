// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// checkNode fails if n breaks an invariant of the tree.
func checkNode(t *testing.T, n *node, root bool) (height int) {
	t.Helper()
	if n == nil {
		return 0
	}
	if len(n.items) > maxItems || (!root && len(n.items) < minItems) {
		t.Fatalf("node with %d items", len(n.items))
	}
	count := len(n.items)
	for i, k := range n.kids {
		h := checkNode(t, k, false)
		if i > 0 && h != height {
			t.Fatalf("kids of height %d and %d", height, h)
		}
		height = h
		count += k.count
	}
	if !n.leaf() && len(n.kids) != len(n.items)+1 {
		t.Fatalf("%d kids for %d items", len(n.kids), len(n.items))
	}
	if count != n.count {
		t.Fatalf("count is %d, want %d", n.count, count)
	}
	return height + 1
}

func keysOf(v indexView, r keyRange) []string {
	keys := []string{}
	v.ascend(r, func(e *entry) bool { keys = append(keys, e.key); return true })
	return keys
}

func TestIndexAgreesWithASortedMap(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	tree := &index{gen: 1}
	model := map[string]int64{}
	type sealed struct {
		view indexView
		keys []string
	}
	var old []sealed
	all := keyRange{"", unboundedEnd}
	for step := range 60000 {
		key := fmt.Sprintf("/k/%04d", rng.IntN(3000))
		del := rng.IntN(100) < 35
		if step > 40000 {
			del = rng.IntN(100) < 75
		}
		if del {
			e := tree.delete(key)
			if mod, ok := model[key]; ok != (e != nil) || (ok && e.mod != mod) {
				t.Fatalf("step %d: delete %s returned %v, model has %v", step, key, e, model[key])
			}
			delete(model, key)
		} else {
			e := tree.set(&entry{key: key, mod: int64(step)})
			if mod, ok := model[key]; ok != (e != nil) || (ok && e.mod != mod) {
				t.Fatalf("step %d: set %s returned %v, model has %v", step, key, e, model[key])
			}
			model[key] = int64(step)
		}
		if step%1500 == 0 {
			checkNode(t, tree.root, true)
			v := tree.seal()
			keys := []string{}
			for k := range model {
				keys = append(keys, k)
			}
			slices.Sort(keys)
			old = append(old, sealed{v, keys})
			lo, hi := fmt.Sprintf("/k/%04d", rng.IntN(3000)), fmt.Sprintf("/k/%04d", rng.IntN(3000))
			r := keyRange{lo, hi}
			want := 0
			for _, k := range keys {
				if r.contains(k) {
					want++
				}
			}
			if got := v.countRange(r); got != want {
				t.Fatalf("countRange(%v) = %d, want %d", r, got, want)
			}
		}
	}
	for i, s := range old {
		if got := keysOf(s.view, all); !slices.Equal(got, s.keys) {
			t.Fatalf("view %d changed after it was sealed", i)
		}
	}
}

func TestIndexBuiltInBulkIsValid(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 48, 49, 50, 51, 98, 99, 100, 2399, 2499, 2500, 2501, 5000, 124999, 125000, 130000} {
		entries := make([]*entry, n)
		keys := make([]string, n)
		for i := range entries {
			keys[i] = fmt.Sprintf("/k/%07d", i)
			entries[i] = &entry{key: keys[i]}
		}
		tree := buildIndex(entries)
		checkNode(t, tree.root, true)
		if got := keysOf(tree.seal(), keyRange{"", unboundedEnd}); !slices.Equal(got, keys) {
			t.Fatalf("index of %d entries yields %d", n, len(got))
		}
		if n > 0 {
			if e := tree.delete(keys[n/2]); e == nil {
				t.Fatalf("index of %d entries lost %s", n, keys[n/2])
			}
			tree.set(&entry{key: "/k/x"})
			checkNode(t, tree.root, true)
		}
	}
}

func TestSwapReplacesWhatIsStillThere(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{0, 1, 49, 50, 2500, 30000} {
		entries := make([]*entry, n)
		for i := range entries {
			entries[i] = &entry{key: fmt.Sprintf("/k/%07d", 2*i)}
		}
		tree := buildIndex(entries)
		var old, with []*entry
		want := map[string]*entry{}
		for _, e := range entries {
			want[e.key] = e
			if rng.IntN(3) == 0 {
				continue
			}
			fresh := &entry{key: e.key, mod: 1}
			old, with = append(old, e), append(with, fresh)
			switch rng.IntN(8) {
			case 0:
				want[e.key] = &entry{key: e.key, mod: 2}
				tree.set(want[e.key])
			case 1:
				delete(want, e.key)
				tree.delete(e.key)
			case 2: // where the key was there is another one
				delete(want, e.key)
				tree.delete(e.key)
				other := &entry{key: e.key + "x"}
				want[other.key] = other
				tree.set(other)
			default:
				want[e.key] = fresh
			}
		}
		before := map[string]*entry{}
		view := tree.seal()
		view.ascend(keyRange{"", unboundedEnd}, func(e *entry) bool { before[e.key] = e; return true })
		tree.swap(old, with)
		checkNode(t, tree.root, true)
		got := map[string]*entry{}
		tree.seal().ascend(keyRange{"", unboundedEnd}, func(e *entry) bool { got[e.key] = e; return true })
		if !maps.Equal(got, want) {
			t.Errorf("of %d entries swap made something else than what is wanted", n)
		}
		after := map[string]*entry{}
		view.ascend(keyRange{"", unboundedEnd}, func(e *entry) bool { after[e.key] = e; return true })
		if !maps.Equal(before, after) {
			t.Errorf("of %d entries swap changed a view that was sealed before", n)
		}
	}
}

// A checkpoint has neighbours where objects are made one after another, and has
// them scattered where some of many change.
func BenchmarkSwap(b *testing.B) {
	for _, every := range []int{1, 100} {
		b.Run(fmt.Sprintf("one of %d", every), func(b *testing.B) {
			entries := make([]*entry, stripChunk*every)
			for i := range entries {
				entries[i] = &entry{key: fmt.Sprintf("/registry/pods/namespace-%02d/create-%08d", i/8000, i)}
			}
			tree := buildIndex(entries)
			for b.Loop() {
				b.StopTimer()
				old, with := make([]*entry, stripChunk), make([]*entry, stripChunk)
				for i := range old {
					e := *entries[i*every]
					old[i], with[i], entries[i*every] = entries[i*every], &e, &e
				}
				tree.seal()
				b.StartTimer()
				tree.swap(old, with)
			}
		})
	}
}
