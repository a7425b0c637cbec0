// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// kvFace is the part of clientv3.KV that makes sense on one key at a time.
// Transactions are not supported: kubernetes.Interface has what Kubernetes does
// with them.
type kvFace struct {
	db *DB
}

func (f kvFace) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	op := clientv3.OpGet(key, opts...)
	if op.IsSortSet() || op.MinModRev() != 0 || op.MaxModRev() != 0 || op.MinCreateRev() != 0 || op.MaxCreateRev() != 0 {
		return nil, errUnsupported
	}
	res, err := f.db.readRange(ctx, rangeRequest{
		keys: opRange(op), rev: op.Rev(), limit: op.Limit(), keysOnly: op.IsKeysOnly(), countOnly: op.IsCountOnly(),
	})
	if err != nil {
		return nil, err
	}
	return &clientv3.GetResponse{Header: header(res.rev), Kvs: res.kvs, More: res.more, Count: res.count}, nil
}

// opRange is the range that an operation of the etcd client means.
func opRange(op clientv3.Op) keyRange {
	if end := op.RangeBytes(); len(end) > 0 {
		return keyRange{string(op.KeyBytes()), string(end)}
	}
	return pointRange(string(op.KeyBytes()))
}

func (f kvFace) Put(ctx context.Context, key, val string, opts ...clientv3.OpOption) (*clientv3.PutResponse, error) {
	op := clientv3.OpPut(key, val, opts...)
	if op.IsPrevKV() {
		return nil, errUnsupported
	}
	out, err := f.db.stagePut(ctx, key, []byte(val), 0, always)
	if err == nil {
		err = f.db.answer(ctx, &out)
	}
	if err != nil {
		return nil, err
	}
	return &clientv3.PutResponse{Header: header(out.rev)}, nil
}

func (f kvFace) Delete(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.DeleteResponse, error) {
	op := clientv3.OpDelete(key, opts...)
	if len(op.RangeBytes()) > 0 || op.IsPrevKV() {
		return nil, errUnsupported
	}
	out, err := f.db.stageDelete(ctx, key, always)
	if err == nil {
		err = f.db.answer(ctx, &out)
	}
	if err != nil {
		return nil, err
	}
	resp := &clientv3.DeleteResponse{Header: header(out.rev)}
	if out.batch != nil {
		resp.Deleted = 1
	}
	return resp, nil
}

func (f kvFace) Compact(ctx context.Context, rev int64, _ ...clientv3.CompactOption) (*clientv3.CompactResponse, error) {
	if err := f.db.Compact(ctx, rev); err != nil {
		return nil, err
	}
	return &clientv3.CompactResponse{Header: header(f.db.Revision())}, nil
}

func (f kvFace) Do(context.Context, clientv3.Op) (clientv3.OpResponse, error) {
	return clientv3.OpResponse{}, errUnsupported
}

func (f kvFace) GetStream(context.Context, string, ...clientv3.OpOption) (clientv3.GetStreamChan, error) {
	// The code makes etcd3 fall back to paging.
	return nil, status.Error(codes.Unimplemented, errUnsupported.Error())
}

func (f kvFace) Txn(context.Context) clientv3.Txn { return noTxn{} }

// noTxn is a transaction that fails when it is committed.
type noTxn struct{}

func (t noTxn) If(...clientv3.Cmp) clientv3.Txn      { return t }
func (t noTxn) Then(...clientv3.Op) clientv3.Txn     { return t }
func (t noTxn) Else(...clientv3.Op) clientv3.Txn     { return t }
func (noTxn) Commit() (*clientv3.TxnResponse, error) { return nil, errUnsupported }

// watchFace is clientv3.Watcher.
type watchFace struct{ db *DB }

var _ clientv3.Watcher = watchFace{}

func (f watchFace) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	op := clientv3.OpGet(key, opts...)
	return f.db.watch(ctx, opRange(op), op.Rev(), op.IsPrevKV(), op.IsProgressNotify())
}

// RequestProgress makes every watch that asked for progress send a bookmark.
func (f watchFace) RequestProgress(context.Context) error {
	f.db.requestProgress(func(*watcher) bool { return true })
	return nil
}

// Close leaves the watches to their contexts and to DB.Close.
func (f watchFace) Close() error { return nil }

// leaseFace is clientv3.Lease.
type leaseFace struct {
	db *DB
}

func (f leaseFace) Grant(ctx context.Context, ttl int64) (*clientv3.LeaseGrantResponse, error) {
	m, err := f.db.grantLease(ctx, ttl)
	if err != nil {
		return nil, err
	}
	return &clientv3.LeaseGrantResponse{ResponseHeader: header(f.db.Revision()), ID: clientv3.LeaseID(m.id), TTL: m.ttl}, nil
}

func (f leaseFace) Revoke(ctx context.Context, id clientv3.LeaseID) (*clientv3.LeaseRevokeResponse, error) {
	if err := f.db.revokeLease(ctx, int64(id)); err != nil {
		return nil, err
	}
	return &clientv3.LeaseRevokeResponse{Header: header(f.db.Revision())}, nil
}

func (f leaseFace) TimeToLive(context.Context, clientv3.LeaseID, ...clientv3.LeaseOption) (*clientv3.LeaseTimeToLiveResponse, error) {
	return nil, errUnsupported
}

func (f leaseFace) Leases(context.Context) (*clientv3.LeaseLeasesResponse, error) {
	return nil, errUnsupported
}

func (f leaseFace) KeepAlive(context.Context, clientv3.LeaseID) (<-chan *clientv3.LeaseKeepAliveResponse, error) {
	return nil, errUnsupported
}

func (f leaseFace) KeepAliveOnce(context.Context, clientv3.LeaseID) (*clientv3.LeaseKeepAliveResponse, error) {
	return nil, errUnsupported
}

func (f leaseFace) Close() error { return nil }
