// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"safebeam.dev/safebeam/pkg/journal"
)

const (
	// maxTxnRecords keeps a transaction within etcd's --max-txn-ops, 128 by
	// default, of which a nested transaction takes its share.
	maxTxnRecords = 100
	// maxTxnBytes bounds the data in one transaction; more than that goes
	// into parts. It leaves room for keys below --max-request-bytes.
	maxTxnBytes = 1 << 20
	// pageRecords bounds one answer of a read.
	pageRecords = 500
)

// Journal is a journal.Journal over an etcd client.
type Journal struct {
	client *clientv3.Client
	layout layout
}

var _ journal.Journal = (*Journal)(nil)

// New returns the journal under prefix. The client stays the caller's, who
// closes it after the last use of the journal.
func New(client *clientv3.Client, prefix string) *Journal {
	return &Journal{client: client, layout: newLayout(prefix)}
}

// Append implements journal.Journal.
func (j *Journal) Append(ctx context.Context, records ...journal.Record) error {
	for _, r := range records {
		if err := checkRecord(r); err != nil {
			return err
		}
	}
	for len(records) > 0 {
		n := min(len(records), maxTxnRecords)
		if err := j.append(ctx, records[:n]); err != nil {
			return err
		}
		records = records[n:]
	}
	return nil
}

// append writes records in one transaction, their data in parts before it
// where it does not fit.
func (j *Journal) append(ctx context.Context, records []journal.Record) error {
	cuts := make([]cut, 0, len(records))
	room := maxTxnBytes
	named := make(map[string]bool, len(records))
	for _, r := range records {
		c := newCut(j.layout, r, room)
		// etcd refuses a transaction that writes a key twice; the first
		// of a name counts, as if they were appended one by one.
		if named[c.key] {
			continue
		}
		named[c.key] = true
		room -= len(c.value)
		cuts = append(cuts, c)
	}
	for {
		committed, err := j.commit(ctx, cuts)
		if err != nil || committed {
			return err
		}
		// A Drop took the parts away. It came before these records, which
		// begin anew.
	}
}

func (j *Journal) commit(ctx context.Context, cuts []cut) (bool, error) {
	var parts []clientv3.Cmp
	puts := make([]clientv3.Op, len(cuts))
	for i, c := range cuts {
		if c.parts > 0 {
			if err := j.writeParts(ctx, c); err != nil {
				return false, err
			}
			parts = append(parts, j.partsThere(c))
		}
		puts[i] = clientv3.OpTxn(
			[]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(c.key), "=", 0)},
			[]clientv3.Op{clientv3.OpPut(c.key, string(c.value))},
			nil)
	}
	answer, err := j.client.Txn(ctx).If(parts...).Then(puts...).Commit()
	if err != nil {
		return false, fmt.Errorf("journal: append of %d records, first %d of %s: %w",
			len(cuts), cuts[0].record.Number, cuts[0].record.Owner, err)
	}
	return answer.Succeeded, nil
}

// Stage implements journal.Journal. It waits: see the package comment.
func (j *Journal) Stage(ctx context.Context, records ...journal.Record) journal.Pending {
	return outcome{j.Append(ctx, records...)}
}

type outcome struct{ err error }

func (o outcome) Wait(context.Context) error { return o.err }

// Sync implements journal.Journal. Stage has waited.
func (j *Journal) Sync(context.Context) error { return nil }

// Read implements journal.Journal.
func (j *Journal) Read(ctx context.Context, owner journal.Owner, after int64, limit int) ([]journal.Record, error) {
	if err := checkOwner(owner); err != nil {
		return nil, err
	}
	records, _, err := j.read(ctx, owner, after, limit)
	return records, err
}

// read returns records and the revision that they were read at.
func (j *Journal) read(ctx context.Context, owner journal.Owner, after int64, limit int) ([]journal.Record, int64, error) {
	for {
		records, revision, err := j.readSnapshot(ctx, owner, max(after, 0), limit)
		// A compaction overtook the pages, or a Drop the parts: the state
		// to read is a later one.
		if errors.Is(err, rpctypes.ErrCompacted) || errors.Is(err, errPartsGone) {
			continue
		}
		return records, revision, err
	}
}

// readSnapshot reads pages of one revision, so that what was appended at once
// is seen at once.
func (j *Journal) readSnapshot(ctx context.Context, owner journal.Owner, after int64, limit int) (records []journal.Record, revision int64, err error) {
	for {
		page := pageRecords
		if limit > 0 {
			page = min(page, limit-len(records))
		}
		from, to := j.layout.after(owner, after)
		answer, err := j.client.Get(ctx, from, clientv3.WithRange(to), clientv3.WithLimit(int64(page)), clientv3.WithRev(revision))
		if err != nil {
			return nil, 0, fmt.Errorf("journal: reading %s after %d: %w", owner, after, err)
		}
		if revision == 0 {
			revision = answer.Header.Revision
		}
		for _, kv := range answer.Kvs {
			_, number, err := j.layout.parse(kv.Key)
			if err != nil {
				return nil, 0, err
			}
			data, err := j.data(ctx, owner, number, kv.Value)
			if err != nil {
				return nil, 0, err
			}
			records = append(records, journal.Record{Owner: owner, Number: number, Data: data})
			after = number
		}
		if !answer.More || limit > 0 && len(records) >= limit {
			return records, revision, nil
		}
	}
}

// Last implements journal.Journal.
func (j *Journal) Last(ctx context.Context, owner journal.Owner) (int64, error) {
	if err := checkOwner(owner); err != nil {
		return 0, err
	}
	from, to := j.layout.after(owner, 0)
	answer, err := j.client.Get(ctx, from, clientv3.WithRange(to), clientv3.WithKeysOnly(),
		clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend), clientv3.WithLimit(1))
	if err != nil {
		return 0, fmt.Errorf("journal: last record of %s: %w", owner, err)
	}
	if len(answer.Kvs) == 0 {
		return 0, nil
	}
	_, number, err := j.layout.parse(answer.Kvs[0].Key)
	return number, err
}

// Drop implements journal.Journal.
func (j *Journal) Drop(ctx context.Context, root journal.Owner) error {
	if err := checkOwner(root); err != nil {
		return err
	}
	ops := append(deletions(j.layout.records, root), deletions(j.layout.parts, root)...)
	ops = append(ops, clientv3.OpPut(j.layout.dropped, string(root)))
	if _, err := j.client.Txn(ctx).Then(ops...).Commit(); err != nil {
		return fmt.Errorf("journal: dropping %s: %w", root, err)
	}
	return nil
}

// Owners implements journal.Journal. It takes one request for each owner.
func (j *Journal) Owners(ctx context.Context, after journal.Owner, limit int) ([]journal.Owner, error) {
	from, to := j.layout.records, clientv3.GetPrefixRangeEnd(j.layout.records)
	if after != "" {
		from = j.layout.records + string(after) + afterOwner
	}
	var owners []journal.Owner
	for limit <= 0 || len(owners) < limit {
		answer, err := j.client.Get(ctx, from, clientv3.WithRange(to), clientv3.WithKeysOnly(), clientv3.WithLimit(1))
		if err != nil {
			return nil, fmt.Errorf("journal: owners after %q: %w", after, err)
		}
		if len(answer.Kvs) == 0 {
			break
		}
		owner, _, err := j.layout.parse(answer.Kvs[0].Key)
		if err != nil {
			return nil, err
		}
		owners = append(owners, owner)
		from = j.layout.records + string(owner) + afterOwner
	}
	return owners, nil
}
