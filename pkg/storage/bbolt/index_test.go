// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"fmt"
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
