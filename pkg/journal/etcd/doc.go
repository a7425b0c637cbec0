// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package etcd keeps the journal in an etcd cluster.
//
// A record is one key, "PREFIX/r/OWNER\x00NUMBER" with the number as sixteen
// hexadecimal digits, so that etcd's order of keys is the journal's order of
// records and an owner, or a subtree of owners, is one or two ranges. Data that
// is too large for one request is cut: the parts lie under PREFIX/p and the
// record, written last, names them. PREFIX/dropped is overwritten with the root
// of every Drop, by which followers of an owner without records hear of it.
//
// What it keeps of the laws of package journal, and at which price:
//   - An append of up to 100 records (etcd's --max-txn-ops is 128) is one
//     transaction, whatever the size of its data. A larger one is several, in
//     the order given, and a crash between them leaves the first. Repeating
//     the append completes it.
//   - Stage waits for etcd: there is no order to rely on without the answer.
//   - A transaction is one raft entry and one fsync on a quorum, shared with
//     nothing but what etcd happens to batch.
//   - Every append advances the revision that objects' resource versions are
//     taken from. It is seen in no watch of theirs, but a consistent list
//     through a watch cache has one more bookmark to wait for.
//   - Last and the deletion of many records are linear in the records of the
//     owner, on the server.
//   - Deleted and overwritten keys occupy space until etcd compacts and is
//     defragmented. etcd's quota (2 GiB by default) holds for the sum of
//     objects and journals: long conversations want a larger one, or bbolt.
//   - Parts written by an append that then failed stay until the owner is
//     dropped.
package etcd
