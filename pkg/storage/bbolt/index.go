// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"slices"
	"strings"
)

// entry is one live key. Entries are immutable once they are in an index:
// readers hold them without a lock.
type entry struct {
	key string
	// value is nil if it lies in bbolt alone (see checkpoint.go); an empty
	// value in memory is non-nil.
	value   []byte
	create  int64
	mod     int64
	version int64
	lease   int64
}

func (e *entry) resident() bool { return e.value != nil }

// index is a B-tree of entries by key, copied on write: seal returns a view of
// the present state that later changes do not touch, at the price of copying
// the nodes on the path of the next change. Every node knows how many entries
// are below it, so counting a range costs two descents.
//
// An index has one writer. Views are safe for any number of readers.
type index struct {
	root *node
	// gen stamps the nodes that this index may change in place: those made
	// since the last seal.
	gen uint64
}

// indexView is an immutable state of an index.
type indexView struct{ root *node }

const (
	minItems = 24
	maxItems = 2*minItems + 1
)

type node struct {
	gen   uint64
	count int
	items []*entry
	kids  []*node // empty in a leaf, else one more than items
}

func (n *node) leaf() bool { return len(n.kids) == 0 }

func (n *node) size() int {
	if n == nil {
		return 0
	}
	return n.count
}

// find returns the position of the first item with a key not below key, and
// whether it is the key itself.
func (n *node) find(key string) (int, bool) {
	lo, hi := 0, len(n.items)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		switch c := strings.Compare(n.items[mid].key, key); {
		case c < 0:
			lo = mid + 1
		case c > 0:
			hi = mid
		default:
			return mid, true
		}
	}
	return lo, false
}

// leafNode and innerNode are nodes with the room that they may need in one piece:
// most of what a write allocates are copies of nodes.
type (
	leafNode struct {
		node
		room [maxItems]*entry
	}
	innerNode struct {
		leafNode
		kidRoom [maxItems + 1]*node
	}
)

func (t *index) newNode(leaf bool) *node {
	if leaf {
		l := &leafNode{}
		l.gen, l.items = t.gen, l.room[:0]
		return &l.node
	}
	in := &innerNode{}
	in.gen, in.items, in.kids = t.gen, in.room[:0], in.kidRoom[:0]
	return &in.node
}

// own returns n if this generation made it, else a copy that it may change.
func (t *index) own(n *node) *node {
	if n.gen == t.gen {
		return n
	}
	c := t.newNode(n.leaf())
	c.count = n.count
	c.items = append(c.items, n.items...)
	c.kids = append(c.kids, n.kids...)
	return c
}

func (t *index) ownKid(n *node, i int) *node {
	kid := t.own(n.kids[i])
	n.kids[i] = kid
	return kid
}

// seal returns the present state and starts a new generation.
func (t *index) seal() indexView {
	t.gen++
	return indexView{t.root}
}

func (t *index) get(key string) *entry { return indexView{t.root}.get(key) }

// set inserts e or replaces the entry of its key, which it returns.
func (t *index) set(e *entry) *entry {
	if t.root == nil {
		t.root = t.newNode(true)
	}
	t.root = t.own(t.root)
	if len(t.root.items) >= maxItems {
		old := t.root
		t.root = t.newNode(false)
		t.root.count = old.count
		t.root.kids = append(t.root.kids, old)
		t.splitKid(t.root, 0)
	}
	return t.insert(t.root, e)
}

// swap puts with[i] in the place of old[i] where that still is in the index. Both
// are sorted and have the same keys. A node is copied once for all that changes in
// it.
func (t *index) swap(old, with []*entry) {
	if t.root != nil {
		t.root = t.swapBelow(t.root, old, with)
	}
}

// swapBelow is swap in n and below, and returns what is to be in its place.
func (t *index) swapBelow(n *node, old, with []*entry) *node {
	for next := 0; len(old) > 0; {
		// Neighbours here are mostly neighbours there.
		i, found := next, next < len(n.items) && n.items[next] == old[0]
		if !found {
			i, found = n.find(old[0].key)
		}
		done := 1
		switch {
		case found:
			if n.items[i] == old[0] {
				n = t.own(n)
				n.items[i] = with[0]
			}
			next = i + 1
		case !n.leaf():
			for done < len(old) && (i == len(n.items) || old[done].key < n.items[i].key) {
				done++
			}
			if kid := t.swapBelow(n.kids[i], old[:done], with[:done]); kid != n.kids[i] {
				n = t.own(n)
				n.kids[i] = kid
			}
			next = i
		}
		old, with = old[done:], with[done:]
	}
	return n
}

// insert puts e below n, which is owned and not full.
func (t *index) insert(n *node, e *entry) *entry {
	i, found := n.find(e.key)
	if found {
		old := n.items[i]
		n.items[i] = e
		return old
	}
	if n.leaf() {
		n.items = slices.Insert(n.items, i, e)
		n.count++
		return nil
	}
	if len(n.kids[i].items) >= maxItems {
		t.splitKid(n, i)
		switch c := strings.Compare(e.key, n.items[i].key); {
		case c > 0:
			i++
		case c == 0:
			old := n.items[i]
			n.items[i] = e
			return old
		}
	}
	old := t.insert(t.ownKid(n, i), e)
	if old == nil {
		n.count++
	}
	return old
}

// splitKid halves the full kid i of n, which is owned.
func (t *index) splitKid(n *node, i int) {
	left := t.ownKid(n, i)
	mid := left.items[minItems]
	right := t.newNode(left.leaf())
	right.items = append(right.items, left.items[minItems+1:]...)
	clear(left.items[minItems:])
	left.items = left.items[:minItems]
	if !left.leaf() {
		right.kids = append(right.kids, left.kids[minItems+1:]...)
		clear(left.kids[minItems+1:])
		left.kids = left.kids[:minItems+1]
	}
	left.recount()
	right.recount()
	n.items = slices.Insert(n.items, i, mid)
	n.kids = slices.Insert(n.kids, i+1, right)
}

func (n *node) recount() {
	n.count = len(n.items)
	for _, k := range n.kids {
		n.count += k.count
	}
}

// delete removes the entry of key and returns it, nil if there is none.
func (t *index) delete(key string) *entry {
	if t.root == nil || t.get(key) == nil {
		return nil
	}
	t.root = t.own(t.root)
	old := t.remove(t.root, key)
	if len(t.root.items) == 0 {
		if t.root.leaf() {
			t.root = nil
		} else {
			t.root = t.root.kids[0]
		}
	}
	return old
}

// remove takes key, which exists below n, out. n is owned and, unless it is
// the root, has more than minItems, so that a kid may borrow from it.
func (t *index) remove(n *node, key string) *entry {
	i, found := n.find(key)
	if n.leaf() {
		old := n.items[i]
		n.items = slices.Delete(n.items, i, i+1)
		n.count--
		return old
	}
	if len(n.kids[i].items) <= minItems {
		t.growKid(n, i)
		// The separators moved: look again.
		return t.remove(n, key)
	}
	kid := t.ownKid(n, i)
	n.count--
	if found {
		old := n.items[i]
		n.items[i] = t.removeLast(kid)
		return old
	}
	return t.remove(kid, key)
}

// removeLast takes the greatest entry below n out.
func (t *index) removeLast(n *node) *entry {
	if n.leaf() {
		last := n.items[len(n.items)-1]
		n.items = slices.Delete(n.items, len(n.items)-1, len(n.items))
		n.count--
		return last
	}
	i := len(n.kids) - 1
	if len(n.kids[i].items) <= minItems {
		t.growKid(n, i)
		return t.removeLast(n)
	}
	n.count--
	return t.removeLast(t.ownKid(n, i))
}

// growKid gives kid i of n one more item, from a sibling or by a merge.
func (t *index) growKid(n *node, i int) {
	switch {
	case i > 0 && len(n.kids[i-1].items) > minItems:
		kid, left := t.ownKid(n, i), t.ownKid(n, i-1)
		kid.items = slices.Insert(kid.items, 0, n.items[i-1])
		n.items[i-1] = left.items[len(left.items)-1]
		left.items = slices.Delete(left.items, len(left.items)-1, len(left.items))
		moved := 1
		if !left.leaf() {
			last := left.kids[len(left.kids)-1]
			left.kids = slices.Delete(left.kids, len(left.kids)-1, len(left.kids))
			kid.kids = slices.Insert(kid.kids, 0, last)
			moved += last.count
		}
		kid.count += moved
		left.count -= moved
	case i < len(n.items) && len(n.kids[i+1].items) > minItems:
		kid, right := t.ownKid(n, i), t.ownKid(n, i+1)
		kid.items = append(kid.items, n.items[i])
		n.items[i] = right.items[0]
		right.items = slices.Delete(right.items, 0, 1)
		moved := 1
		if !right.leaf() {
			first := right.kids[0]
			right.kids = slices.Delete(right.kids, 0, 1)
			kid.kids = append(kid.kids, first)
			moved += first.count
		}
		kid.count += moved
		right.count -= moved
	default:
		if i >= len(n.items) {
			i--
		}
		left, right := t.ownKid(n, i), n.kids[i+1]
		left.items = append(left.items, n.items[i])
		left.items = append(left.items, right.items...)
		left.kids = append(left.kids, right.kids...)
		left.count += 1 + right.count
		n.items = slices.Delete(n.items, i, i+1)
		n.kids = slices.Delete(n.kids, i+1, i+2)
	}
}

func (v indexView) len() int { return v.root.size() }

func (v indexView) get(key string) *entry {
	for n := v.root; n != nil; {
		i, found := n.find(key)
		if found {
			return n.items[i]
		}
		if n.leaf() {
			return nil
		}
		n = n.kids[i]
	}
	return nil
}

// rank returns how many keys are below key.
func (v indexView) rank(key string) int {
	rank := 0
	for n := v.root; n != nil; {
		i, found := n.find(key)
		rank += i
		if n.leaf() {
			break
		}
		for _, k := range n.kids[:i] {
			rank += k.count
		}
		if found {
			rank += n.kids[i].count
			break
		}
		n = n.kids[i]
	}
	return rank
}

// countRange returns how many keys are in r.
func (v indexView) countRange(r keyRange) int {
	if r.unbounded() {
		return v.len() - v.rank(r.from)
	}
	return max(0, v.rank(r.to)-v.rank(r.from))
}

// ascend calls fn for the entries in r in order of their keys until it returns
// false.
func (v indexView) ascend(r keyRange, fn func(*entry) bool) {
	if v.root != nil {
		v.root.ascend(r, fn)
	}
}

func (n *node) ascend(r keyRange, fn func(*entry) bool) bool {
	i, _ := n.find(r.from)
	for ; i < len(n.items); i++ {
		if !n.leaf() && !n.kids[i].ascend(r, fn) {
			return false
		}
		if !r.below(n.items[i].key) || !fn(n.items[i]) {
			return false
		}
	}
	return n.leaf() || n.kids[i].ascend(r, fn)
}

// buildIndex makes an index of entries that are sorted by key.
func buildIndex(entries []*entry) *index {
	t := &index{gen: 1}
	if len(entries) == 0 {
		return t
	}
	height, full := 0, maxItems
	for full < len(entries) {
		height++
		full = full*(maxItems+1) + maxItems
	}
	t.root = t.build(entries, height)
	return t
}

func (t *index) build(entries []*entry, height int) *node {
	n := t.newNode(height == 0)
	n.count = len(entries)
	if height == 0 {
		n.items = append(n.items, entries...)
		return n
	}
	full := maxItems
	for range height - 1 {
		full = full*(maxItems+1) + maxItems
	}
	kids := (len(entries) + 1 + full) / (full + 1)
	kids = max(kids, 2)
	for k := range kids {
		// len+1 slots for kids, each taking its entries and one separator.
		from := k * (len(entries) + 1) / kids
		to := (k+1)*(len(entries)+1)/kids - 1
		n.kids = append(n.kids, t.build(entries[from:to], height-1))
		if to < len(entries) {
			n.items = append(n.items, entries[to])
		}
	}
	return n
}
