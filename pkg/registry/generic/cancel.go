// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package generic

import (
	"context"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
)

// Canceller ends what runs.
type Canceller[T runtime.Object] interface {
	// Cancel brings the object to a terminal phase and returns it so: Cancelled,
	// or the one that it had reached before. The user is that of ctx.
	Cancel(ctx context.Context, object T) (T, error)
}

// CancelREST serves the subresource cancel of objects of the kind T.
type CancelREST[T any, P interface {
	*T
	runtime.Object
}] struct {
	// Objects reads them.
	Objects rest.Getter
	// Over reports whether an object has a terminal phase.
	Over      func(P) bool
	Canceller Canceller[P]
}

// New is what the subresource belongs to.
func (*CancelREST[T, P]) New() runtime.Object { return P(new(T)) }

// Destroy does nothing: the storage is the resource's.
func (*CancelREST[T, P]) Destroy() {}

// ConnectMethods is POST alone.
func (*CancelREST[T, P]) ConnectMethods() []string { return []string{http.MethodPost} }

// NewConnectOptions is nothing: there is nothing to say besides which object.
func (*CancelREST[T, P]) NewConnectOptions() (runtime.Object, bool, string) { return nil, false, "" }

// ProducesMIMETypes is for OpenAPI.
func (*CancelREST[T, P]) ProducesMIMETypes(string) []string { return nil }

// ProducesObject is for OpenAPI.
func (*CancelREST[T, P]) ProducesObject(string) any { return *new(T) }

// Connect serves one request. Cancelling what has ended changes nothing and
// returns it.
func (r *CancelREST[T, P]) Connect(ctx context.Context, name string, _ runtime.Object, responder rest.Responder) (http.Handler, error) {
	obj, err := r.Objects.Get(ctx, name, &metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	object := obj.(P)
	return http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		if err := RefuseBody(request, "cancel takes no body: what it cancels is named by the path"); err != nil {
			responder.Error(err)
			return
		}
		if !r.Over(object) {
			cancelled, err := r.Canceller.Cancel(ctx, object)
			if err != nil {
				responder.Error(err)
				return
			}
			object = cancelled
		}
		responder.Object(http.StatusOK, object)
	}), nil
}
