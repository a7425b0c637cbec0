// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxpod

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/registry/rest"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/bindings"
	"safebeam.dev/safebeam/pkg/registry/podrecord"
)

// Subresource is its name in paths and roles.
const Subresource = podrecord.Subresource

// Binding is the body of a PUT. One of the two UIDs is set, by what the path
// names.
type Binding struct {
	SandboxUID   types.UID `json:"sandboxUID,omitempty"`
	WarmPodUID   types.UID `json:"warmPodUID,omitempty"`
	PodName      string    `json:"podName"`
	PodNamespace string    `json:"podNamespace"`
}

// List is the answer to a GET.
type List struct {
	Items []bindings.Binding `json:"items"`
}

// owner is what the two resources differ in.
type owner struct {
	kind, resource, uidField string
	empty                    func() runtime.Object
	uid                      func(*Binding) types.UID
	// over says why the object takes no pod any more, "" if it does.
	over func(runtime.Object) string
}

// records are those of one resource.
type records struct {
	owner    owner
	objects  rest.Getter
	bindings *bindings.Store
}

// NewSandboxREST serves sandboxes/pods.
func NewSandboxREST(sandboxes rest.Getter, store *bindings.Store) *podrecord.REST {
	return newREST(owner{
		kind: bindings.Sandbox, resource: "sandboxes", uidField: "sandboxUID",
		empty: func() runtime.Object { return &v1.Sandbox{} },
		uid:   func(b *Binding) types.UID { return b.SandboxUID },
		over: func(obj runtime.Object) string {
			if phase := obj.(*v1.Sandbox).Status.Phase; phase.Terminal() {
				return string(phase)
			}
			return ""
		},
	}, sandboxes, store)
}

// NewWarmPodREST serves warmpods/pods.
func NewWarmPodREST(warmPods rest.Getter, store *bindings.Store) *podrecord.REST {
	return newREST(owner{
		kind: bindings.WarmPod, resource: "warmpods", uidField: "warmPodUID",
		empty: func() runtime.Object { return &v1.WarmPod{} },
		uid:   func(b *Binding) types.UID { return b.WarmPodUID },
		over: func(obj runtime.Object) string {
			if phase := obj.(*v1.WarmPod).Status.Phase; phase == v1.WarmPodTerminating {
				return string(phase)
			}
			return ""
		},
	}, warmPods, store)
}

func newREST(owner owner, objects rest.Getter, store *bindings.Store) *podrecord.REST {
	return podrecord.NewREST(owner.empty, &records{owner, objects, store})
}

// is matches the object, of any UID: what is dropped may be an earlier one's.
func (r *records) is(namespace, name string) func(bindings.Owner) bool {
	return func(o bindings.Owner) bool {
		return o.Kind == r.owner.kind && o.Namespace == namespace && o.Name == name
	}
}

func (r *records) List(ctx context.Context, namespace, name string) (any, error) {
	all, err := r.bindings.List(ctx)
	if err != nil {
		return nil, err
	}
	list, wanted := List{Items: []bindings.Binding{}}, r.is(namespace, name)
	for _, binding := range all {
		if wanted(binding.Owner) {
			list.Items = append(list.Items, binding)
		}
	}
	return list, nil
}

func (r *records) Drop(ctx context.Context, namespace, name string, pod types.UID) error {
	return r.bindings.DropIf(ctx, pod, r.is(namespace, name))
}

func (r *records) Bind(ctx context.Context, namespace, name string, pod types.UID, data []byte) error {
	body, err := r.read(data)
	if err != nil {
		return err
	}
	obj, err := r.objects.Get(ctx, name, &metav1.GetOptions{})
	if err != nil {
		return err
	}
	object := obj.(metav1.Object)
	resource := v1.Resource(r.owner.resource)
	switch wanted, over := r.owner.uid(body), r.owner.over(obj); {
	case object.GetUID() != wanted:
		return apierrors.NewConflict(resource, name, fmt.Errorf("it has the UID %s, the pod was made for the one with %s", object.GetUID(), wanted))
	case object.GetDeletionTimestamp() != nil:
		return apierrors.NewConflict(resource, name, errors.New("it is being deleted, and gets no pod any more"))
	case over != "":
		return apierrors.NewConflict(resource, name, fmt.Errorf("it is %s, and gets no pod any more", over))
	}
	return r.bindings.Bind(ctx, bindings.Binding{
		PodUID: pod, PodNamespace: body.PodNamespace, PodName: body.PodName,
		Owner: bindings.Owner{Kind: r.owner.kind, Namespace: namespace, Name: name, UID: object.GetUID()},
	})
}

func (r *records) read(body []byte) (*Binding, error) {
	var binding Binding
	if err := json.Unmarshal(body, &binding); err != nil || r.owner.uid(&binding) == "" ||
		len(validation.NameIsDNSSubdomain(binding.PodName, false)) > 0 || len(validation.ValidateNamespaceName(binding.PodNamespace, false)) > 0 {
		return nil, apierrors.NewBadRequest(fmt.Sprintf(`the body must be {%q: "…", "podName": "…", "podNamespace": "…"}`, r.owner.uidField))
	}
	return &binding, nil
}
