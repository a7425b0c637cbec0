// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package execution

import (
	"context"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/registry/stream"
)

// Events are the events of executions: journalled ones and, live, those that come.
type Events interface {
	// Open reads the events of an execution after a number: to the terminal event
	// if follow is set, else as far as they are there; of one stream if only is not
	// empty. A cursor past the last event is a stream.CursorError.
	Open(ctx context.Context, execution *v1.Execution, after int64, follow bool, only v1.OutputStream) (stream.Reader, error)
}

// LogREST serves executions/log.
type LogREST struct {
	stream.Subresource
	executions rest.Getter
	events     Events
	streams    *stream.Server
}

var _ rest.Connecter = &LogREST{}

// New is what the subresource belongs to.
func (*LogREST) New() runtime.Object { return &v1.Execution{} }

// NewConnectOptions are for OpenAPI, and for admission. The handler reads the
// parameters itself, and refuses those that it does not know.
func (*LogREST) NewConnectOptions() (runtime.Object, bool, string) {
	return &v1.ExecutionLogOptions{}, false, ""
}

// Connect serves one request.
func (r *LogREST) Connect(ctx context.Context, name string, _ runtime.Object, responder rest.Responder) (http.Handler, error) {
	obj, err := r.executions.Get(ctx, name, &metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	execution := obj.(*v1.Execution)
	return r.streams.Handler(responder, func(request *http.Request) (stream.Reader, error) {
		query := stream.NewQuery(request)
		after := query.After()
		follow := query.Bool("follow", false)
		only := query.OneOf("stream", "", string(v1.Stdout), string(v1.Stderr))
		if err := query.Err(); err != nil {
			return nil, err
		}
		return r.events.Open(request.Context(), execution, after, follow, v1.OutputStream(only))
	}), nil
}
