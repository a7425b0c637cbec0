// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// SandboxProfile is policy for sandboxes: they may tighten it, never loosen it.
type SandboxProfile struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec bounds the sandboxes that refer to the profile.
	Spec SandboxProfileSpec `json:"spec"`
}

// SandboxProfileSpec bounds the sandboxes that refer to the profile.
type SandboxProfileSpec struct {
	// language of the runtimes that the profile is for.
	Language string `json:"language"`
	// securityLevel that sandboxes have at least. Default standard.
	// +optional
	// +default="standard"
	SecurityLevel SecurityLevel `json:"securityLevel,omitempty"`
	// seccompProfile is the file of a seccomp profile, below the kubelet's
	// seccomp directory. Default: the container runtime's profile.
	// +optional
	SeccompProfile string `json:"seccompProfile,omitempty"`
	// networkPolicies are what sandboxes may open. Unset: nothing.
	// +optional
	// +listType=atomic
	NetworkPolicies []ProfileNetworkPolicy `json:"networkPolicies,omitempty"`
	// preInstalledPackages are those that a runtime must have to serve the profile.
	// +optional
	// +listType=set
	PreInstalledPackages []string `json:"preInstalledPackages,omitempty"`
	// resourceDefaults are the resources of sandboxes that set none.
	// +optional
	ResourceDefaults *Resources `json:"resourceDefaults,omitempty"`
	// filesystemConfig says what sandboxes may write to.
	// +optional
	FilesystemConfig *ProfileFilesystem `json:"filesystemConfig,omitempty"`
}

// PolicyType is a direction.
// +enum
type PolicyType string

const (
	PolicyEgress  PolicyType = "egress"
	PolicyIngress PolicyType = "ingress"
)

// ProfileNetworkPolicy is what sandboxes may open in one direction.
type ProfileNetworkPolicy struct {
	// type is egress or ingress.
	Type PolicyType `json:"type"`
	// rules that are allowed.
	// +optional
	// +listType=atomic
	Rules []NetworkRule `json:"rules,omitempty"`
}

// ProfileFilesystem says what sandboxes may write to.
type ProfileFilesystem struct {
	// readOnlyPaths can never be written to.
	// +optional
	// +listType=set
	ReadOnlyPaths []string `json:"readOnlyPaths,omitempty"`
	// writablePaths may be written to, and are where the sandbox names none.
	// +optional
	// +listType=set
	WritablePaths []string `json:"writablePaths,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// SandboxProfileList is a list of profiles.
type SandboxProfileList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []SandboxProfile `json:"items"`
}
