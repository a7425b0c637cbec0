// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package etcd_test

import (
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/apiserver/pkg/storage/etcd3/testserver"

	"safebeam.dev/safebeam/pkg/journal"
	"safebeam.dev/safebeam/pkg/journal/etcd"
	"safebeam.dev/safebeam/pkg/journal/journaltest"
)

func TestConformance(t *testing.T) {
	client := testserver.RunEtcd(t, nil).Client
	var opened atomic.Int64
	var prefixes sync.Map
	open := func(prefix any) journal.Journal {
		j := etcd.New(client, prefix.(string))
		prefixes.Store(j, prefix)
		return j
	}
	// Without a group the server, which ends with its test, would be gone
	// before the parallel tests begin.
	t.Run("journal", func(t *testing.T) {
		journaltest.Run(t, journaltest.Subject{
			Open: func(*testing.T) journal.Journal { return open(fmt.Sprintf("/journal/%d", opened.Add(1))) },
			Reopen: func(_ *testing.T, j journal.Journal) journal.Journal {
				prefix, _ := prefixes.Load(j)
				return open(prefix)
			},
		})
	})
}

func record(number int64) journal.Record {
	return journal.Record{Owner: "a", Number: number, Data: fmt.Appendf(nil, "record %d", number)}
}

// compact makes the history that a follower needs unreadable.
func compact(t *testing.T, client *clientv3.Client) {
	t.Helper()
	answer, err := client.Put(t.Context(), "unrelated", "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Compact(t.Context(), answer.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
}

func TestAFollowerThatCompactionOvertookReadsOn(t *testing.T) {
	client := testserver.RunEtcd(t, nil).Client
	j := etcd.New(client, "/journal")
	if err := j.Append(t.Context(), record(1)); err != nil {
		t.Fatal(err)
	}
	next, stop := iter.Pull2(j.Follow(t.Context(), "a", 0))
	defer stop()
	expect := func(number int64) {
		t.Helper()
		if r, err, ok := next(); !ok || err != nil || r.Number != number {
			t.Fatalf("Follow = %v, %v, %t; want record %d", r, err, ok, number)
		}
	}
	expect(1)
	if err := j.Append(t.Context(), record(2), record(3)); err != nil {
		t.Fatal(err)
	}
	compact(t, client)
	expect(2)
	expect(3)

	if err := j.Drop(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(t.Context(), record(9)); err != nil {
		t.Fatal(err)
	}
	compact(t, client)
	if r, err, _ := next(); !errors.Is(err, journal.ErrDropped) {
		t.Fatalf("Follow = %v, %v; want ErrDropped: the owner was dropped unseen", r, err)
	}
}

func TestAWholeTransactionOfRecordsFitsEtcdsLimits(t *testing.T) {
	client := testserver.RunEtcd(t, nil).Client
	j := etcd.New(client, "/journal")
	var records []journal.Record
	for n := int64(1); n <= 350; n++ {
		records = append(records, journal.Record{Owner: "a", Number: n, Data: make([]byte, 64<<10)})
	}
	if err := j.Append(t.Context(), records...); err != nil {
		t.Fatal(err)
	}
	got, err := j.Read(t.Context(), "a", 0, 0)
	if err != nil || len(got) != len(records) {
		t.Fatalf("%d records, %v; want %d", len(got), err, len(records))
	}
}
