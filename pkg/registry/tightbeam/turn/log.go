// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turn

import (
	"context"
	"net/http"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/registry/stream"
)

// Events are the events of turns: journalled ones and, live, those that come.
type Events interface {
	// Unfinished returns the turn that has the name now, if that is known
	// without reading it; nil if not.
	Unfinished(namespace, name string) *v1.Turn
	// Created returns a channel that is closed when a turn of the name is
	// created from now on. leave is called once nobody waits for it.
	Created(namespace, name string) (created <-chan struct{}, leave func())
	// Open reads the events of a turn after a number: to the terminal event
	// if follow is set, else as far as they are there. A cursor past the last
	// event, or before what is kept, is a stream.CursorError.
	Open(ctx context.Context, turn *v1.Turn, after int64, follow bool) (stream.Reader, error)
}

// LogREST serves turns/stream, and turns/log, which differs in that it does
// not follow unless asked to. kube-apiserver ends proxied requests after a
// minute unless their subresource is on its list of long-running ones, on
// which log is and stream is not.
type LogREST struct {
	stream.Subresource
	turns   rest.Getter
	events  Events
	streams *stream.Server
	follow  bool
}

var _ rest.Connecter = &LogREST{}

// New is what the subresource belongs to.
func (*LogREST) New() runtime.Object { return &v1.Turn{} }

// Connect serves one request.
func (r *LogREST) Connect(ctx context.Context, name string, _ runtime.Object, responder rest.Responder) (http.Handler, error) {
	namespace := request.NamespaceValue(ctx)
	return r.streams.Handler(responder, func(req *http.Request) (stream.Reader, error) {
		query := stream.NewQuery(req)
		after := query.After()
		follow := query.Bool("follow", r.follow)
		wait := query.Seconds("waitSeconds", maxWait)
		if err := query.Err(); err != nil {
			return nil, err
		}
		ctx := request.WithNamespace(req.Context(), namespace)
		turn, err := r.find(ctx, name, wait)
		if err != nil {
			return nil, err
		}
		return r.events.Open(ctx, turn, after, follow)
	}), nil
}
