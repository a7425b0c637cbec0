// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxpod

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
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/bindings"
)

// Subresource is its name in paths and roles.
const Subresource = "pods"

// maxBody is far more than a Binding takes.
const maxBody = 4 << 10

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

// REST serves the subresource of one resource.
type REST struct {
	owner    owner
	objects  rest.Getter
	bindings *bindings.Store
}

var (
	_ rest.Connecter       = &REST{}
	_ rest.StorageMetadata = &REST{}
)

// NewSandboxREST serves sandboxes/pods.
func NewSandboxREST(sandboxes rest.Getter, store *bindings.Store) *REST {
	return &REST{owner{
		kind: bindings.Sandbox, resource: "sandboxes", uidField: "sandboxUID",
		empty: func() runtime.Object { return &v1.Sandbox{} },
		uid:   func(b *Binding) types.UID { return b.SandboxUID },
		over: func(obj runtime.Object) string {
			if phase := obj.(*v1.Sandbox).Status.Phase; phase.Terminal() {
				return string(phase)
			}
			return ""
		},
	}, sandboxes, store}
}

// NewWarmPodREST serves warmpods/pods.
func NewWarmPodREST(warmPods rest.Getter, store *bindings.Store) *REST {
	return &REST{owner{
		kind: bindings.WarmPod, resource: "warmpods", uidField: "warmPodUID",
		empty: func() runtime.Object { return &v1.WarmPod{} },
		uid:   func(b *Binding) types.UID { return b.WarmPodUID },
		over: func(obj runtime.Object) string {
			if phase := obj.(*v1.WarmPod).Status.Phase; phase == v1.WarmPodTerminating {
				return string(phase)
			}
			return ""
		},
	}, warmPods, store}
}

// New is what the subresource belongs to.
func (r *REST) New() runtime.Object { return r.owner.empty() }

// Destroy does nothing: the storage is the bindings'.
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
			err = r.bindings.DropIf(ctx, uid, r.is(info.Namespace, name))
		}
		if err != nil {
			responder.Error(err)
			return
		}
		responder.Object(http.StatusOK, &metav1.Status{Status: metav1.StatusSuccess})
	}), nil
}

// is matches the object, of any UID: what is dropped may be an earlier one's.
func (r *REST) is(namespace, name string) func(bindings.Owner) bool {
	return func(o bindings.Owner) bool {
		return o.Kind == r.owner.kind && o.Namespace == namespace && o.Name == name
	}
}

func (r *REST) list(ctx context.Context, w http.ResponseWriter, namespace, name string, responder rest.Responder) {
	all, err := r.bindings.List(ctx)
	if err != nil {
		responder.Error(err)
		return
	}
	list, wanted := List{Items: []bindings.Binding{}}, r.is(namespace, name)
	for _, binding := range all {
		if wanted(binding.Owner) {
			list.Items = append(list.Items, binding)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list) // a client that is gone needs no answer
}

func (r *REST) bind(ctx context.Context, in io.Reader, namespace, name string, pod types.UID) error {
	body, err := r.read(in)
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

func (r *REST) read(in io.Reader) (*Binding, error) {
	body, err := io.ReadAll(io.LimitReader(in, maxBody))
	if err != nil {
		return nil, apierrors.NewBadRequest("reading the body: " + err.Error())
	}
	var binding Binding
	if err := json.Unmarshal(body, &binding); err != nil || r.owner.uid(&binding) == "" ||
		len(validation.NameIsDNSSubdomain(binding.PodName, false)) > 0 || len(validation.ValidateNamespaceName(binding.PodNamespace, false)) > 0 {
		return nil, apierrors.NewBadRequest(fmt.Sprintf(`the body must be {%q: "…", "podName": "…", "podNamespace": "…"}`, r.owner.uidField))
	}
	return &binding, nil
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
