// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// +genclient
// +genclient:nonNamespaced
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// RuntimeEnvironment is an image that sandboxes are made from. Sandboxes name
// a language and a version, never an image.
type RuntimeEnvironment struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says what the image has.
	Spec RuntimeEnvironmentSpec `json:"spec"`
	// status is what has been observed of the image.
	// +optional
	Status RuntimeEnvironmentStatus `json:"status,omitempty"`
}

// RuntimeEnvironmentSpec says what an image has.
type RuntimeEnvironmentSpec struct {
	// image that pods run. The local launcher uses what the machine has.
	Image string `json:"image"`
	// language, such as python or nodejs.
	Language string `json:"language"`
	// version of the language that the image has.
	// +optional
	Version string `json:"version,omitempty"`
	// servesVersions are further versions that may be asked for and are
	// answered with this one.
	// +optional
	// +listType=set
	ServesVersions []string `json:"servesVersions,omitempty"`
	// tags for people, who see them by kubectl get -o wide.
	// +optional
	// +listType=set
	Tags []string `json:"tags,omitempty"`
	// preInstalledPackages of the language.
	// +optional
	// +listType=set
	PreInstalledPackages []string `json:"preInstalledPackages,omitempty"`
	// packageManager of the language, such as pip or npm.
	// +optional
	PackageManager string `json:"packageManager,omitempty"`
	// securityFeatures that the image is known to work with, such as gvisor.
	// +optional
	// +listType=set
	SecurityFeatures []string `json:"securityFeatures,omitempty"`
	// resourceRequirements of the image.
	// +optional
	ResourceRequirements *RuntimeResources `json:"resourceRequirements,omitempty"`
}

// RuntimeResources are what an image needs.
type RuntimeResources struct {
	// minCpu is what a sandbox must have at least.
	// +optional
	MinCPU *resource.Quantity `json:"minCpu,omitempty"`
	// minMemory is what a sandbox must have at least.
	// +optional
	MinMemory *resource.Quantity `json:"minMemory,omitempty"`
	// recommendedCpu is what a sandbox should have.
	// +optional
	RecommendedCPU *resource.Quantity `json:"recommendedCpu,omitempty"`
	// recommendedMemory is what a sandbox should have.
	// +optional
	RecommendedMemory *resource.Quantity `json:"recommendedMemory,omitempty"`
}

// RuntimeEnvironmentStatus is what has been observed of an image.
type RuntimeEnvironmentStatus struct {
	// available says that sandboxes can be made from it.
	// +optional
	Available bool `json:"available"`
	// lastValidated is when that was last found out.
	// +optional
	LastValidated *metav1.Time `json:"lastValidated,omitempty"`
	// observedGeneration is the generation that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// message says why it is not available.
	// +optional
	Message string `json:"message,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// RuntimeEnvironmentList is a list of runtime environments.
type RuntimeEnvironmentList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []RuntimeEnvironment `json:"items"`
}
