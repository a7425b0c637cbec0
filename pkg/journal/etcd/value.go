// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"safebeam.dev/safebeam/pkg/journal"
)

// A record's value begins with a byte that says where its data is.
const (
	// inline: the data follows.
	inline = 'i'
	// inParts: a part count and the parts' id follow.
	inParts = 'p'
)

// partBytes is the size of a part. With its key it stays clear of etcd's
// --max-request-bytes, 1.5 MiB by default.
const partBytes = 1 << 20

// errPartsGone says that parts were dropped while their record was written or
// read.
var errPartsGone = errors.New("journal: parts of a record are gone")

// cut is a record's data on its way to etcd.
type cut struct {
	record journal.Record
	key    string
	value  []byte
	// parts is the number of parts, 0 if the data is inline.
	parts int
	id    string
}

func newCut(l layout, r journal.Record, inlineLimit int) cut {
	c := cut{record: r, key: l.record(r.Owner, r.Number)}
	if len(r.Data) <= inlineLimit {
		c.value = append([]byte{inline}, r.Data...)
		return c
	}
	// The same data gets the same parts, so that a repeated append does not
	// leave a second set behind.
	sum := sha256.Sum256(r.Data)
	c.id = hex.EncodeToString(sum[:8])
	c.parts = (len(r.Data) + partBytes - 1) / partBytes
	c.value = binary.AppendUvarint([]byte{inParts}, uint64(c.parts))
	c.value = append(c.value, c.id...)
	return c
}

// writeParts stores the data of a cut record where no reader looks yet.
func (j *Journal) writeParts(ctx context.Context, c cut) error {
	for i := range c.parts {
		data := c.record.Data[i*partBytes : min((i+1)*partBytes, len(c.record.Data))]
		if _, err := j.client.Put(ctx, j.layout.part(c.record.Owner, c.record.Number, c.id, i), string(data)); err != nil {
			return fmt.Errorf("journal: part %d of record %d of %s: %w", i, c.record.Number, c.record.Owner, err)
		}
	}
	return nil
}

// partsThere holds as long as no Drop came between the parts and their record:
// a Drop takes all of them at once, so that one stands for all.
func (j *Journal) partsThere(c cut) clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(j.layout.part(c.record.Owner, c.record.Number, c.id, c.parts-1)), ">", 0)
}

// data returns what the value of a record stands for.
func (j *Journal) data(ctx context.Context, owner journal.Owner, number int64, value []byte) ([]byte, error) {
	if len(value) == 0 {
		return nil, fmt.Errorf("journal: record %d of %s has no value", number, owner)
	}
	switch value[0] {
	case inline:
		return value[1:], nil
	case inParts:
		count, n := binary.Uvarint(value[1:])
		if n <= 0 {
			return nil, fmt.Errorf("journal: record %d of %s: malformed part count", number, owner)
		}
		return j.readParts(ctx, owner, number, int(count), string(value[1+n:]))
	default:
		return nil, fmt.Errorf("journal: record %d of %s: unknown form %q", number, owner, value[0])
	}
}

func (j *Journal) readParts(ctx context.Context, owner journal.Owner, number int64, count int, id string) ([]byte, error) {
	var data []byte
	for i := range count {
		answer, err := j.client.Get(ctx, j.layout.part(owner, number, id, i))
		if err != nil {
			return nil, fmt.Errorf("journal: part %d of record %d of %s: %w", i, number, owner, err)
		}
		if len(answer.Kvs) == 0 {
			return nil, errPartsGone
		}
		data = append(data, answer.Kvs[0].Value...)
	}
	return data, nil
}
