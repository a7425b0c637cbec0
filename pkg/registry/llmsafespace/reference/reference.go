// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package reference reads what sandboxes and pools name: the runtime environment
// that serves their runtime, and their profile.
//
// The reads are consistent ones: an object that was made a moment ago is there.
// Who may not use the profile of another namespace is not told whether it exists.
package reference

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"safebeam.dev/safebeam/apis/llmsafespace/policy"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/registry/access"
	"safebeam.dev/safebeam/pkg/registry/generic"
)

// Reader reads what is named.
type Reader struct {
	Environments rest.Lister
	Profiles     rest.Getter
	Authorizer   authorizer.UnconditionalAuthorizer
}

// Seen is what one object names, as far as it is there.
type Seen struct {
	Environment *v1.RuntimeEnvironment
	Profile     *v1.SandboxProfile
	// Errors say what is not there.
	Errors field.ErrorList
}

// ProfileSpec is nil if there is no profile.
func (s *Seen) ProfileSpec() *v1.SandboxProfileSpec {
	if s.Profile == nil {
		return nil
	}
	return &s.Profile.Spec
}

// Runtime finds the environment that serves a runtime.
func (r Reader) Runtime(ctx context.Context, seen *Seen, runtime string, path *field.Path) {
	if runtime == "" {
		return // validation refuses it
	}
	obj, err := r.Environments.List(request.WithNamespace(ctx, metav1.NamespaceNone), &internalversion.ListOptions{})
	if err != nil {
		seen.Errors = append(seen.Errors, field.InternalError(path, err))
		return
	}
	environments := obj.(*v1.RuntimeEnvironmentList).Items
	if seen.Environment = policy.Resolve(environments, runtime); seen.Environment == nil {
		seen.Errors = append(seen.Errors, policy.NotServed(environments, runtime, path))
	}
}

// Profile finds the profile that an object of the namespace refers to.
func (r Reader) Profile(ctx context.Context, seen *Seen, namespace string, ref *v1.ObjectReference, path *field.Path) {
	if ref == nil || ref.Name == "" {
		return // validation refuses the latter
	}
	in := namespaceOf(ref, namespace)
	obj, err := r.Profiles.Get(request.WithNamespace(ctx, in), ref.Name, &metav1.GetOptions{})
	switch {
	case err == nil:
		seen.Profile = obj.(*v1.SandboxProfile)
	case apierrors.IsNotFound(err) || apierrors.IsBadRequest(err):
		seen.Errors = append(seen.Errors, generic.Missing(path.Child("name"), fmt.Sprintf("%s/%s", in, ref.Name),
			"there is no such SandboxProfile: make it first, or leave profileRef out"))
	default:
		seen.Errors = append(seen.Errors, field.InternalError(path, err))
	}
}

// MayUse answers nil if the user may use the profile of another namespace that
// an object refers to, if it does.
func (r Reader) MayUse(ctx context.Context, resource schema.GroupResource, name, namespace string, ref *v1.ObjectReference, path *field.Path) error {
	if ref == nil || namespaceOf(ref, namespace) == namespace {
		return nil
	}
	return access.Require(ctx, r.Authorizer, resource, name,
		access.Use(path, v1.SchemeGroupVersion.WithResource("sandboxprofiles"), ref.Namespace, ref.Name))
}

func namespaceOf(ref *v1.ObjectReference, namespace string) string {
	if ref.Namespace != "" {
		return ref.Namespace
	}
	return namespace
}
