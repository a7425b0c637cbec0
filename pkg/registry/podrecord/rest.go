// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package podrecord serves the subresource pods of what has pods: the controller's
// word on which pod is whose. It is for the controller alone, and its verbs are in
// no default role but the controller's.
//
//	PUT    …/RESOURCE/NAME/pods/UID
//	DELETE …/RESOURCE/NAME/pods/UID
//	GET    …/RESOURCE/NAME/pods
package podrecord

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
)

// Subresource is its name in paths and roles.
const Subresource = "pods"

// maxBody is far more than what is said of a pod takes.
const maxBody = 4 << 10

// Records are those of the pods of one resource's objects. ctx has the namespace.
type Records interface {
	// List returns what a GET answers, as JSON.
	List(ctx context.Context, namespace, name string) (any, error)
	// Bind records what body says of a pod. A body that is cut short or otherwise
	// not whole is a BadRequest.
	Bind(ctx context.Context, namespace, name string, pod types.UID, body []byte) error
	// Drop removes the record of a pod, if it is one of that object.
	Drop(ctx context.Context, namespace, name string, pod types.UID) error
}

// REST serves the subresource of one resource.
type REST struct {
	empty   func() runtime.Object
	records Records
}

var (
	_ rest.Connecter       = &REST{}
	_ rest.StorageMetadata = &REST{}
)

// NewREST serves the records of the objects that empty returns an empty one of.
func NewREST(empty func() runtime.Object, records Records) *REST { return &REST{empty, records} }

// New is what the subresource belongs to.
func (r *REST) New() runtime.Object { return r.empty() }

// Destroy does nothing: the storage is the records'.
func (*REST) Destroy() {}

// ConnectMethods are those above.
func (*REST) ConnectMethods() []string {
	return []string{http.MethodGet, http.MethodPut, http.MethodDelete}
}

// NewConnectOptions says that a path follows: the pod's UID.
func (*REST) NewConnectOptions() (runtime.Object, bool, string) { return nil, true, "path" }

// ProducesMIMETypes is for OpenAPI.
func (*REST) ProducesMIMETypes(string) []string { return []string{"application/json"} }

// ProducesObject is for OpenAPI.
func (*REST) ProducesObject(string) any { return metav1.Status{} }

// Connect serves one request. ctx, unlike the request's own, has the namespace.
func (r *REST) Connect(ctx context.Context, name string, _ runtime.Object, responder rest.Responder) (http.Handler, error) {
	info, ok := request.RequestInfoFrom(ctx)
	if !ok {
		return nil, apierrors.NewInternalError(errors.New("the request has no info"))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodGet {
			r.list(ctx, w, info.Namespace, name, responder)
			return
		}
		uid, err := podUID(info)
		if err == nil && req.Method == http.MethodPut {
			err = r.bind(ctx, req.Body, info.Namespace, name, uid)
		} else if err == nil {
			err = r.records.Drop(ctx, info.Namespace, name, uid)
		}
		if err != nil {
			responder.Error(err)
			return
		}
		responder.Object(http.StatusOK, &metav1.Status{Status: metav1.StatusSuccess})
	}), nil
}

func (r *REST) list(ctx context.Context, w http.ResponseWriter, namespace, name string, responder rest.Responder) {
	list, err := r.records.List(ctx, namespace, name)
	if err != nil {
		responder.Error(err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list) // a client that is gone needs no answer
}

func (r *REST) bind(ctx context.Context, in io.Reader, namespace, name string, uid types.UID) error {
	body, err := io.ReadAll(io.LimitReader(in, maxBody))
	if err != nil {
		return apierrors.NewBadRequest("reading the body: " + err.Error())
	}
	return r.records.Bind(ctx, namespace, name, uid, body)
}

// podUID takes the UID from the end of the path. It becomes a key of the
// store, so it must be a UID indeed.
func podUID(info *request.RequestInfo) (types.UID, error) {
	const before = 3 // resource, name, subresource
	rest := ""
	if len(info.Parts) > before {
		rest = strings.Join(info.Parts[before:], "/")
	}
	uid, err := uuid.Parse(rest)
	if err != nil || uid.String() != rest {
		return "", apierrors.NewBadRequest(fmt.Sprintf("%q is no UID of a pod: the path ends in …/%s/UID", rest, Subresource))
	}
	return types.UID(rest), nil
}
