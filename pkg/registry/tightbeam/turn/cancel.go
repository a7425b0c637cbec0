// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turn

import (
	"context"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"

	"safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/registry/generic"
)

// Canceller ends turns.
type Canceller interface {
	// Cancel brings the turn to a terminal phase and returns it so: Cancelled,
	// or the one that it had reached before. The user is that of ctx.
	Cancel(ctx context.Context, turn *v1.Turn) (*v1.Turn, error)
}

// CancelREST serves turns/cancel.
type CancelREST struct {
	turns     rest.Getter
	canceller Canceller
}

var (
	_ rest.Connecter       = &CancelREST{}
	_ rest.StorageMetadata = &CancelREST{}
)

// New is what the subresource belongs to.
func (*CancelREST) New() runtime.Object { return &v1.Turn{} }

// Destroy does nothing: the storage is the resource's.
func (*CancelREST) Destroy() {}

// ConnectMethods is POST alone.
func (*CancelREST) ConnectMethods() []string { return []string{http.MethodPost} }

// NewConnectOptions is nothing: there is nothing to say besides which turn.
func (*CancelREST) NewConnectOptions() (runtime.Object, bool, string) { return nil, false, "" }

// ProducesMIMETypes is for OpenAPI.
func (*CancelREST) ProducesMIMETypes(string) []string { return nil }

// ProducesObject is for OpenAPI.
func (*CancelREST) ProducesObject(string) any { return v1.Turn{} }

// Connect serves one request. Cancelling a finished turn changes nothing and
// returns it.
func (r *CancelREST) Connect(ctx context.Context, name string, _ runtime.Object, responder rest.Responder) (http.Handler, error) {
	obj, err := r.turns.Get(ctx, name, &metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	turn := obj.(*v1.Turn)
	return http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		if err := generic.RefuseBody(request, "cancel takes no body: the turn is named by the path"); err != nil {
			responder.Error(err)
			return
		}
		if !turn.Status.Phase.Terminal() {
			cancelled, err := r.canceller.Cancel(ctx, turn)
			if err != nil {
				responder.Error(err)
				return
			}
			turn = cancelled
		}
		responder.Object(http.StatusOK, turn)
	}), nil
}
