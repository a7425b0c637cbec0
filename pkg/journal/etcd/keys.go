// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"fmt"
	"strconv"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"safebeam.dev/safebeam/pkg/journal"
)

// Owners have no byte below the slash that could sort between an owner and
// what follows it: ownerEnd is the lowest byte there is, and afterOwner the
// next one.
const (
	ownerEnd   = "\x00"
	afterOwner = "\x01"
	// subtree and afterSubtree bound the owners below an owner.
	subtree      = "/"
	afterSubtree = "0"
)

// layout makes the keys of one journal.
type layout struct {
	records, parts string
	dropped        string
}

func newLayout(prefix string) layout {
	return layout{records: prefix + "/r/", parts: prefix + "/p/", dropped: prefix + "/dropped"}
}

func (l layout) record(owner journal.Owner, number int64) string {
	return fmt.Sprintf("%s%s%s%016x", l.records, owner, ownerEnd, number)
}

// part is the key of the i-th part of a record's data. id tells the parts of
// one append from those of another of the same name.
func (l layout) part(owner journal.Owner, number int64, id string, i int) string {
	return fmt.Sprintf("%s%s%s%016x/%s/%08x", l.parts, owner, ownerEnd, number, id, i)
}

// after returns the range of owner's records with a number above after.
func (l layout) after(owner journal.Owner, after int64) (from, to string) {
	return l.record(owner, after+1), l.records + string(owner) + afterOwner
}

// deletions returns what removes root and everything below it from folder.
func deletions(folder string, root journal.Owner) []clientv3.Op {
	base := folder + string(root)
	return []clientv3.Op{
		clientv3.OpDelete(base+ownerEnd, clientv3.WithRange(base+afterOwner)),
		clientv3.OpDelete(base+subtree, clientv3.WithRange(base+afterSubtree)),
	}
}

// parse returns the owner and number of a record's key.
func (l layout) parse(key []byte) (journal.Owner, int64, error) {
	name, found := strings.CutPrefix(string(key), l.records)
	owner, digits, cut := strings.Cut(name, ownerEnd)
	number, err := strconv.ParseInt(digits, 16, 64)
	if !found || !cut || err != nil {
		return "", 0, fmt.Errorf("journal: %q is no record's key", key)
	}
	return journal.Owner(owner), number, nil
}

// covers says whether a Drop of root removes owner.
func covers(root, owner journal.Owner) bool {
	return owner == root || strings.HasPrefix(string(owner), string(root)+"/")
}

func checkOwner(owner journal.Owner) error {
	switch s := string(owner); {
	case s == "":
		return fmt.Errorf("journal: the owner is empty")
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' }):
		return fmt.Errorf("journal: owner %q has a control character", s)
	case strings.HasPrefix(s, "/"), strings.HasSuffix(s, "/"), strings.Contains(s, "//"):
		return fmt.Errorf("journal: owner %q has an empty path element", s)
	}
	return nil
}

func checkRecord(r journal.Record) error {
	if err := checkOwner(r.Owner); err != nil {
		return err
	}
	if r.Number < 1 {
		return fmt.Errorf("journal: record %d of %s: numbers begin at 1", r.Number, r.Owner)
	}
	return nil
}
