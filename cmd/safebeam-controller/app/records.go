// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	"safebeam.dev/safebeam/pkg/launcher"
	"safebeam.dev/safebeam/pkg/launcher/kubernetes"
	"safebeam.dev/safebeam/pkg/registry/tightbeam/modelpod"
)

// records writes tightbeammodels/pods.
type records struct{ client versioned.Interface }

var _ kubernetes.Records = records{}

func (r records) request(verb func(rest.Interface) *rest.Request, model cache.ObjectName, suffix ...string) *rest.Request {
	return verb(r.client.TightbeamV1().RESTClient()).
		Namespace(model.Namespace).Resource("tightbeammodels").Name(model.Name).SubResource(modelpod.Subresource).Suffix(suffix...)
}

// Bind says which job a pod is.
func (r records) Bind(ctx context.Context, spec launcher.JobSpec, job string, pod types.UID) error {
	body, err := json.Marshal(modelpod.Binding{ModelUID: spec.ModelUID, Job: job})
	if err != nil {
		return err
	}
	model := cache.ObjectName{Namespace: spec.Namespace, Name: spec.Model}
	return r.request(rest.Interface.Put, model, string(pod)).SetHeader("Content-Type", "application/json").Body(body).Do(ctx).Error()
}

// Drop says that a pod is gone.
func (r records) Drop(ctx context.Context, model cache.ObjectName, pod types.UID) error {
	return r.request(rest.Interface.Delete, model, string(pod)).Do(ctx).Error()
}

// List returns what has been said of the models that there are.
func (r records) List(ctx context.Context) (map[cache.ObjectName][]types.UID, error) {
	models, err := r.client.TightbeamV1().TightbeamModels(metav1.NamespaceAll).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, err
	}
	all := map[cache.ObjectName][]types.UID{}
	for i := range models.Items {
		model := cache.MetaObjectToName(&models.Items[i])
		data, err := r.request(rest.Interface.Get, model).DoRaw(ctx)
		if err != nil {
			return nil, err
		}
		var list modelpod.List
		if err := json.Unmarshal(data, &list); err != nil {
			return nil, err
		}
		for _, pod := range list.Items {
			all[model] = append(all[model], pod.UID)
		}
	}
	return all, nil
}
