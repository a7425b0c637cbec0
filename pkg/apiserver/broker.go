// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"errors"
	"io"

	"k8s.io/apiserver/pkg/endpoints/request"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway/turns"
	"safebeam.dev/safebeam/pkg/registry/stream"
	"safebeam.dev/safebeam/pkg/registry/tightbeam/turn"
)

// brokered serves the events and the cancellation of turns by their broker.
type brokered struct{ *turns.Broker }

var (
	_ turn.Events    = brokered{}
	_ turn.Canceller = brokered{}
)

// Open implements turn.Events.
func (b brokered) Open(ctx context.Context, object *tightbeamv1.Turn, after int64, follow bool) (stream.Reader, error) {
	reader, err := b.Read(ctx, object, after)
	if err != nil {
		return nil, err
	}
	return &eventReader{reader: reader, follow: follow}, nil
}

// Cancel implements turn.Canceller.
func (b brokered) Cancel(ctx context.Context, object *tightbeamv1.Turn) (*tightbeamv1.Turn, error) {
	who := "somebody"
	if user, ok := request.UserFrom(ctx); ok {
		who = user.GetName()
	}
	return b.Broker.Cancel(ctx, object, "cancelled by "+who)
}

// eventReader gives a turn's events as records. They share their bytes.
type eventReader struct {
	reader  *turns.Reader
	follow  bool
	records []stream.Record
}

// Next implements stream.Reader.
func (r *eventReader) Next(ctx context.Context) ([]stream.Record, error) {
	next := r.reader.Next
	if !r.follow {
		next = r.reader.Available
	}
	events, err := next(ctx)
	if errors.Is(err, turns.ErrStopped) || err == nil && len(events) == 0 {
		return nil, io.EOF
	}
	r.records = r.records[:0]
	for _, event := range events {
		r.records = append(r.records, stream.Record{Number: event.Number, Data: event.JSON})
	}
	return r.records, err
}

// Close implements stream.Reader. The reader holds nothing.
func (r *eventReader) Close() {}
