// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package modelpod

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/registry/rest"

	v1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway/podidentity"
	"safebeam.dev/safebeam/pkg/registry/podrecord"
)

// Subresource is its name in paths and roles.
const Subresource = podrecord.Subresource

// Binding is the body of a PUT.
type Binding struct {
	ModelUID types.UID `json:"modelUID"`
	Job      string    `json:"job"`
}

// List is the answer to a GET.
type List struct {
	Items []podidentity.Pod `json:"items"`
}

// NewREST serves records of the pods of models.
func NewREST(models rest.Getter, store *podidentity.Records) *podrecord.REST {
	return podrecord.NewREST(func() runtime.Object { return &v1.TightbeamModel{} }, &records{models, store})
}

type records struct {
	models rest.Getter
	store  *podidentity.Records
}

func (r *records) List(ctx context.Context, namespace, model string) (any, error) {
	pods, err := r.store.List(ctx, namespace, model)
	return List{pods}, err
}

func (r *records) Drop(ctx context.Context, namespace, model string, pod types.UID) error {
	return r.store.Drop(ctx, namespace, model, pod)
}

func (r *records) Bind(ctx context.Context, namespace, name string, pod types.UID, body []byte) error {
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
	return r.store.Bind(ctx, podidentity.Pod{
		UID: pod, ModelNamespace: namespace, Model: name, ModelUID: binding.ModelUID, Job: binding.Job,
	})
}
