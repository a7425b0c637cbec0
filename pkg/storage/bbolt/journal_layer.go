// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"cmp"
	"slices"
	"strings"

	"safebeam.dev/safebeam/pkg/journal"
)

// journalLayer is a set of changes to the journal that lie above older state:
// records, and roots that were dropped before those records came. Layers are
// stacked: the ones of group commits in flight, the one since the last
// checkpoint, the one a checkpoint is writing, and bbolt below all.
type journalLayer struct {
	owners map[journal.Owner]*ownerRecords
	drops  map[journal.Owner]struct{}
}

// ownerRecords are the records of one owner, sorted by number.
type ownerRecords struct{ records []journal.Record }

func newJournalLayer() *journalLayer {
	return &journalLayer{owners: map[journal.Owner]*ownerRecords{}, drops: map[journal.Owner]struct{}{}}
}

func (l *journalLayer) empty() bool { return len(l.owners) == 0 && len(l.drops) == 0 }

func compareNumber(r journal.Record, number int64) int { return cmp.Compare(r.Number, number) }

// has reports whether the layer holds the record.
func (l *journalLayer) has(owner journal.Owner, number int64) bool {
	o := l.owners[owner]
	if o == nil {
		return false
	}
	_, found := slices.BinarySearchFunc(o.records, number, compareNumber)
	return found
}

// covers reports whether the layer hides what older layers hold of owner.
func (l *journalLayer) covers(owner journal.Owner) bool {
	if len(l.drops) == 0 {
		return false
	}
	for {
		if _, ok := l.drops[owner]; ok {
			return true
		}
		i := strings.LastIndexByte(string(owner), '/')
		if i < 0 {
			return false
		}
		owner = owner[:i]
	}
}

// append adds a record unless the layer holds it.
func (l *journalLayer) append(r journal.Record) {
	o := l.owners[r.Owner]
	if o == nil {
		o = &ownerRecords{}
		l.owners[r.Owner] = o
	}
	if n := len(o.records); n == 0 || o.records[n-1].Number < r.Number {
		o.records = append(o.records, r)
		return
	}
	if i, found := slices.BinarySearchFunc(o.records, r.Number, compareNumber); !found {
		// Readers hold slices of the old array.
		o.records = slices.Insert(slices.Clip(slices.Clone(o.records)), i, r)
	}
}

// drop removes root and what is below it, here and, by covering, below.
func (l *journalLayer) drop(root journal.Owner) {
	delete(l.owners, root)
	below := root + "/"
	for owner := range l.owners {
		if strings.HasPrefix(string(owner), string(below)) {
			delete(l.owners, owner)
		}
	}
	l.drops[root] = struct{}{}
}

// after returns the records of owner with a number above after.
func (l *journalLayer) after(owner journal.Owner, after int64) []journal.Record {
	o := l.owners[owner]
	if o == nil {
		return nil
	}
	i, found := slices.BinarySearchFunc(o.records, after, compareNumber)
	if found {
		i++
	}
	return o.records[i:len(o.records):len(o.records)]
}

func (l *journalLayer) last(owner journal.Owner) int64 {
	if o := l.owners[owner]; o != nil {
		return o.records[len(o.records)-1].Number
	}
	return 0
}

// journalChange is one operation on the journal, in the order of the log.
type journalChange struct {
	records []journal.Record
	root    journal.Owner
}

func (l *journalLayer) apply(c journalChange) {
	if c.root != "" {
		l.drop(c.root)
		return
	}
	for _, r := range c.records {
		l.append(r)
	}
}

// mergeRecords merges two sorted lists; of equal numbers the upper's counts.
func mergeRecords(upper, lower []journal.Record) []journal.Record {
	switch {
	case len(upper) == 0:
		return lower
	case len(lower) == 0:
		return upper
	case lower[len(lower)-1].Number < upper[0].Number:
		return append(slices.Clip(lower), upper...)
	}
	merged := make([]journal.Record, 0, len(upper)+len(lower))
	for len(upper) > 0 && len(lower) > 0 {
		switch c := cmp.Compare(upper[0].Number, lower[0].Number); {
		case c < 0:
			merged, upper = append(merged, upper[0]), upper[1:]
		case c > 0:
			merged, lower = append(merged, lower[0]), lower[1:]
		default:
			merged, upper, lower = append(merged, upper[0]), upper[1:], lower[1:]
		}
	}
	merged = append(merged, upper...)
	return append(merged, lower...)
}
