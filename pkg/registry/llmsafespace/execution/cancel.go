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
	"safebeam.dev/safebeam/pkg/registry/generic"
)

// Canceller ends executions.
type Canceller interface {
	// Cancel brings the execution to a terminal phase and returns it so: Cancelled,
	// or the one that it had reached before. The user is that of ctx.
	Cancel(ctx context.Context, execution *v1.Execution) (*v1.Execution, error)
}

// CancelREST serves executions/cancel.
type CancelREST struct {
	executions rest.Getter
	canceller  Canceller
}

var (
	_ rest.Connecter       = &CancelREST{}
	_ rest.StorageMetadata = &CancelREST{}
)

// NewCancelREST cancels what executions gets.
func NewCancelREST(executions rest.Getter, canceller Canceller) *CancelREST {
	return &CancelREST{executions: executions, canceller: canceller}
}

// New is what the subresource belongs to.
func (*CancelREST) New() runtime.Object { return &v1.Execution{} }

// Destroy does nothing: the storage is the resource's.
func (*CancelREST) Destroy() {}

// ConnectMethods is POST alone.
func (*CancelREST) ConnectMethods() []string { return []string{http.MethodPost} }

// NewConnectOptions is nothing: there is nothing to say besides which execution.
func (*CancelREST) NewConnectOptions() (runtime.Object, bool, string) { return nil, false, "" }

// ProducesMIMETypes is for OpenAPI.
func (*CancelREST) ProducesMIMETypes(string) []string { return nil }

// ProducesObject is for OpenAPI.
func (*CancelREST) ProducesObject(string) any { return v1.Execution{} }

// Connect serves one request. Cancelling a finished execution changes nothing and
// returns it.
func (r *CancelREST) Connect(ctx context.Context, name string, _ runtime.Object, responder rest.Responder) (http.Handler, error) {
	obj, err := r.executions.Get(ctx, name, &metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	execution := obj.(*v1.Execution)
	return http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		if err := generic.RefuseBody(request, "cancel takes no body: the execution is named by the path"); err != nil {
			responder.Error(err)
			return
		}
		if !execution.Status.Phase.Terminal() {
			cancelled, err := r.canceller.Cancel(ctx, execution)
			if err != nil {
				responder.Error(err)
				return
			}
			execution = cancelled
		}
		responder.Object(http.StatusOK, execution)
	}), nil
}
