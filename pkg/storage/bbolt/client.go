// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"context"
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
)

// Client returns the store in the form of an etcd client, to be handed to
// k8s.io/apiserver's etcd3.New. It has no network and no endpoints.
//
// Values handed in belong to the store from then on, and values handed out are
// shared: neither may be changed.
func (db *DB) Client() *kubernetes.Client {
	c := clientv3.NewCtxClient(context.Background())
	c.KV, c.Watcher, c.Lease = kvFace{db: db}, watchFace{db}, leaseFace{db: db}
	return &kubernetes.Client{Client: c, Kubernetes: face{db}}
}

// errUnsupported is the answer to the parts of etcd that Kubernetes does not
// use and this store does not have.
var errUnsupported = errors.New("bbolt store: not supported; use the Kubernetes methods of the client")

func header(rev int64) *pb.ResponseHeader { return &pb.ResponseHeader{Revision: rev} }

// face is the part of etcd that Kubernetes needs.
type face struct{ db *DB }

var _ kubernetes.Interface = face{}

func (f face) Get(ctx context.Context, key string, opts kubernetes.GetOptions) (resp kubernetes.GetResponse, err error) {
	if err := ctx.Err(); err != nil {
		return resp, err
	}
	if opts.Revision > 0 {
		res, err := f.db.readRange(ctx, rangeRequest{keys: pointRange(key), rev: opts.Revision})
		if err != nil {
			return resp, err
		}
		resp.Revision = res.rev
		if len(res.kvs) > 0 {
			resp.KV = res.kvs[0]
		}
		return resp, nil
	}
	var e *entry
	if s := sessionOf(ctx, f.db); s != nil {
		e, resp.Revision, err = f.db.getStaged(key, s)
	} else {
		e, resp.Revision, err = f.db.getCurrent(key)
	}
	if err == nil && e != nil {
		resp.KV = e.keyValue()
	}
	return resp, err
}

func (f face) List(ctx context.Context, prefix string, opts kubernetes.ListOptions) (resp kubernetes.ListResponse, err error) {
	keys := prefixRange(prefix)
	if opts.Continue != "" {
		keys.from = opts.Continue
	}
	res, err := f.db.readRange(ctx, rangeRequest{keys: keys, rev: opts.Revision, limit: opts.Limit})
	if err != nil {
		return resp, err
	}
	return kubernetes.ListResponse{Kvs: res.kvs, Count: res.count, Revision: res.rev}, nil
}

func (f face) Count(_ context.Context, prefix string, _ kubernetes.CountOptions) (int64, error) {
	return int64(f.db.head.Load().view.countRange(prefixRange(prefix))), nil
}

func (f face) OptimisticPut(ctx context.Context, key string, value []byte, expectedRevision int64, opts kubernetes.PutOptions) (resp kubernetes.PutResponse, err error) {
	out, err := f.db.stagePut(ctx, key, value, int64(opts.LeaseID), atRevision(expectedRevision))
	if err == nil {
		err = f.db.answer(ctx, &out)
	}
	if err != nil {
		return resp, err
	}
	resp.Succeeded, resp.Revision = out.succeeded, out.rev
	if opts.GetOnFailure && out.found != nil {
		resp.KV, err = f.inTheWay(ctx, out.found)
	}
	return resp, err
}

func (f face) OptimisticDelete(ctx context.Context, key string, expectedRevision int64, opts kubernetes.DeleteOptions) (resp kubernetes.DeleteResponse, err error) {
	out, err := f.db.stageDelete(ctx, key, atRevision(expectedRevision))
	if err == nil {
		err = f.db.answer(ctx, &out)
	}
	if err != nil {
		return resp, err
	}
	resp.Succeeded, resp.Revision = out.succeeded, out.rev
	if opts.GetOnFailure && out.found != nil {
		resp.KV, err = f.inTheWay(ctx, out.found)
	}
	return resp, err
}

// inTheWay returns what a write was refused for, or what the key is by now.
func (f face) inTheWay(ctx context.Context, found *entry) (*mvccpb.KeyValue, error) {
	if !found.resident() {
		full, err := f.db.fetch(found)
		if err != nil {
			return nil, err
		}
		if full == nil {
			resp, err := f.Get(ctx, found.key, kubernetes.GetOptions{})
			return resp.KV, err
		}
		found = full
	}
	return found.keyValue(), nil
}

// answer waits until what the outcome says is durable, or leaves that to the
// session, and fills in the store's revision where the write made none.
func (db *DB) answer(ctx context.Context, out *outcome) error {
	if out.lead {
		// A lone writer syncs by itself: to wake somebody who does costs more
		// than what could be done meanwhile.
		db.commit()
	}
	if s := sessionOf(ctx, db); s != nil && out.batch != nil {
		s.saw(out.rev)
		s.batch.Store(out.batch)
	} else if out.batch != nil {
		if err := out.batch.wait(ctx); err != nil {
			return err
		}
	}
	if !out.succeeded || out.rev == 0 {
		out.rev = max(out.rev, db.Revision())
	}
	return nil
}
