// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupName is the API group of these types.
const GroupName = "llmsafespace.dev"

var (
	// SchemeGroupVersion is the group and version of these types.
	SchemeGroupVersion = schema.GroupVersion{Group: GroupName, Version: "v1"}

	// InternalGroupVersion is the version that a server works in. Its types
	// are the same Go types, so converting between the two copies nothing.
	InternalGroupVersion = schema.GroupVersion{Group: GroupName, Version: runtime.APIVersionInternal}
)

// Resource qualifies a resource name with the group.
func Resource(resource string) schema.GroupResource {
	return SchemeGroupVersion.WithResource(resource).GroupResource()
}

// Kind qualifies a kind with the group.
func Kind(kind string) schema.GroupKind {
	return SchemeGroupVersion.WithKind(kind).GroupKind()
}

var (
	schemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme registers the types as clients know them: without defaults,
	// which are the server's.
	AddToScheme = schemeBuilder.AddToScheme

	serverSchemeBuilder = runtime.NewSchemeBuilder(
		addKnownTypes,
		addInternalTypes,
		RegisterDefaults,
		addFieldLabelConversions,
		addOptionConversions,
		prioritizeVersion,
	)

	// Install registers all that a server of this group needs: the types in
	// their external and internal version, defaults, and the field labels
	// that selectors may name.
	Install = serverSchemeBuilder.AddToScheme
)

func knownTypes() []runtime.Object {
	return []runtime.Object{
		&RuntimeEnvironment{}, &RuntimeEnvironmentList{},
		&SandboxProfile{}, &SandboxProfileList{},
		&Sandbox{}, &SandboxList{},
		&Execution{}, &ExecutionList{},
		&WarmPool{}, &WarmPoolList{},
		&WarmPod{}, &WarmPodList{},
	}
}

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(SchemeGroupVersion, knownTypes()...)
	scheme.AddKnownTypes(SchemeGroupVersion, optionTypes()...)
	metav1.AddToGroupVersion(scheme, SchemeGroupVersion)
	return nil
}

func addInternalTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(InternalGroupVersion, knownTypes()...)
	scheme.AddKnownTypes(InternalGroupVersion, optionTypes()...)
	return nil
}

func prioritizeVersion(scheme *runtime.Scheme) error {
	return scheme.SetVersionPriority(SchemeGroupVersion)
}
