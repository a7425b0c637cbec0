// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import clientv3 "go.etcd.io/etcd/client/v3"

// keyRange is [from, to) in etcd's notation: to "\x00" means no upper bound.
type keyRange struct{ from, to string }

const unboundedEnd = "\x00"

func pointRange(key string) keyRange { return keyRange{key, key + "\x00"} }

func prefixRange(prefix string) keyRange {
	return keyRange{prefix, clientv3.GetPrefixRangeEnd(prefix)}
}

func (r keyRange) unbounded() bool { return r.to == unboundedEnd }

// below reports whether key is below the upper bound.
func (r keyRange) below(key string) bool { return r.unbounded() || key < r.to }

func (r keyRange) contains(key string) bool { return key >= r.from && r.below(key) }
