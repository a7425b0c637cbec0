// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package conversation

import (
	"context"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"

	"safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/registry/stream"
)

// LogOptions are the parameters of a request for a log.
type LogOptions struct {
	// View is which of the views is read.
	View v1.LogView
	// After is the index after which reading begins.
	After int64
	// Limit is the largest number of messages; 0 is no limit.
	Limit int64
	// Follow waits for further messages.
	Follow bool
}

// Logs are the message logs of conversations.
type Logs interface {
	Forks
	// Open reads a log. A cursor past its end is a stream.CursorError.
	Open(ctx context.Context, conversation *v1.Conversation, options LogOptions) (stream.Reader, error)
}

// LogREST serves conversations/log.
type LogREST struct {
	stream.Subresource
	conversations rest.Getter
	logs          Logs
	streams       *stream.Server
}

var _ rest.Connecter = &LogREST{}

// New is what the subresource belongs to.
func (*LogREST) New() runtime.Object { return &v1.Conversation{} }

// Connect serves one request.
func (r *LogREST) Connect(ctx context.Context, name string, _ runtime.Object, responder rest.Responder) (http.Handler, error) {
	obj, err := r.conversations.Get(ctx, name, &metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	conversation := obj.(*v1.Conversation)
	return r.streams.Handler(responder, func(request *http.Request) (stream.Reader, error) {
		options, err := parseLogOptions(request)
		if err != nil {
			return nil, err
		}
		return r.logs.Open(request.Context(), conversation, options)
	}), nil
}

func parseLogOptions(request *http.Request) (LogOptions, error) {
	query := stream.NewQuery(request)
	options := LogOptions{
		View:   v1.LogView(query.OneOf("view", string(v1.LogViewRaw), string(v1.LogViewProvider), string(v1.LogViewRouter))),
		After:  query.After(),
		Limit:  query.Count("limit"),
		Follow: query.Bool("follow", false),
	}
	if err := query.Err(); err != nil {
		return options, err
	}
	if options.Follow && options.View == v1.LogViewProvider {
		return options, apierrors.NewBadRequest("view=provider is the history as it would be sent now, which changes as a whole: it cannot be followed, follow view=raw")
	}
	return options, nil
}
