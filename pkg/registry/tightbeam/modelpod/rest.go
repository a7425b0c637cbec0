// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package modelpod

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

	v1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway/podidentity"
)

// Subresource is its name in paths and roles.
const Subresource = "pods"

// maxBody is far more than a Binding takes.
const maxBody = 4 << 10

// Binding is the body of a PUT.
type Binding struct {
	ModelUID types.UID `json:"modelUID"`
	Job      string    `json:"job"`
}

// List is the answer to a GET.
type List struct {
	Items []podidentity.Pod `json:"items"`
}

// REST serves the subresource.
type REST struct {
	models  rest.Getter
	records *podidentity.Records
}

var (
	_ rest.Connecter       = &REST{}
	_ rest.StorageMetadata = &REST{}
)

// NewREST serves records of the pods of models.
func NewREST(models rest.Getter, records *podidentity.Records) *REST { return &REST{models, records} }

// New is what the subresource belongs to.
func (*REST) New() runtime.Object { return &v1.TightbeamModel{} }

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
		uid, err := podUID(req.URL.Path, name)
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

func (r *REST) list(ctx context.Context, w http.ResponseWriter, namespace, model string, responder rest.Responder) {
	pods, err := r.records.List(ctx, namespace, model)
	if err != nil {
		responder.Error(err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(List{pods}) // a client that is gone needs no answer
}

func (r *REST) bind(ctx context.Context, in io.Reader, namespace, name string, uid types.UID) error {
	body, err := io.ReadAll(io.LimitReader(in, maxBody))
	if err != nil {
		return apierrors.NewBadRequest("reading the body: " + err.Error())
	}
	var binding Binding
	if err := json.Unmarshal(body, &binding); err != nil || binding.ModelUID == "" || binding.Job == "" {
		return apierrors.NewBadRequest(`the body must be {"modelUID": "…", "job": "…"}`)
	}
	obj, err := r.models.Get(ctx, name, &metav1.GetOptions{})
	if err != nil {
		return err
	}
	if model := obj.(*v1.TightbeamModel); model.UID != binding.ModelUID {
		return apierrors.NewConflict(v1.Resource("tightbeammodels"), name, fmt.Errorf("the model has the UID %s, the pod was made for the one with %s", model.UID, binding.ModelUID))
	}
	return r.records.Bind(ctx, podidentity.Pod{
		UID: uid, ModelNamespace: namespace, Model: name, ModelUID: binding.ModelUID, Job: binding.Job,
	})
}

// podUID takes the UID from the end of the path. It becomes a key of the
// store, so it must be a UID indeed.
func podUID(path, model string) (types.UID, error) {
	_, rest, _ := strings.Cut(path, "/tightbeammodels/"+model+"/"+Subresource+"/")
	uid, err := uuid.Parse(rest)
	if err != nil || uid.String() != rest {
		return "", apierrors.NewBadRequest(fmt.Sprintf("%q is no UID of a pod: the path ends in …/%s/UID", rest, Subresource))
	}
	return types.UID(rest), nil
}
