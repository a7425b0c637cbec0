// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// SecurityLevel says how a sandbox is held.
// +enum
type SecurityLevel string

const (
	// SecurityStandard is a container without privileges.
	SecurityStandard SecurityLevel = "standard"
	// SecurityHigh is a container with a kernel of its own (gVisor).
	SecurityHigh SecurityLevel = "high"
	// SecurityCustom is what the sandbox asks for, within its profile.
	SecurityCustom SecurityLevel = "custom"
)

// ObjectReference names an object, by default of the same namespace.
type ObjectReference struct {
	// name of the object.
	Name string `json:"name"`
	// namespace of the object. Default: the one that refers to it.
	// +optional
	Namespace string `json:"namespace,omitempty"`
}

// Resources are the limits that a sandbox lives in; they are also what is
// requested for it.
type Resources struct {
	// cpu, in cores. Default 500m.
	// +optional
	CPU *resource.Quantity `json:"cpu,omitempty"`
	// memory, in bytes. Default 512Mi.
	// +optional
	Memory *resource.Quantity `json:"memory,omitempty"`
	// ephemeralStorage is the disk space of the writable paths, in bytes.
	// Default 1Gi.
	// +optional
	EphemeralStorage *resource.Quantity `json:"ephemeralStorage,omitempty"`
	// cpuPinning asks for cores of its own. It is refused for now.
	// +optional
	CPUPinning bool `json:"cpuPinning,omitempty"`
	// gpu asks for a graphics processor. It is refused for now.
	// +optional
	GPU string `json:"gpu,omitempty"`
}

// NetworkRule is a range of addresses and ports.
type NetworkRule struct {
	// domain is a DNS name. It is refused for now: name a cidr.
	// +optional
	Domain string `json:"domain,omitempty"`
	// cidr is a range of addresses, such as 192.0.2.0/24.
	// +optional
	CIDR string `json:"cidr,omitempty"`
	// ports that may be reached. Default: TCP 443.
	// +optional
	// +listType=atomic
	Ports []NetworkPort `json:"ports,omitempty"`
}

// NetworkPort is a port of a protocol.
type NetworkPort struct {
	// port number.
	Port int32 `json:"port"`
	// protocol is TCP or UDP. Default TCP.
	// +optional
	// +default="TCP"
	Protocol corev1.Protocol `json:"protocol,omitempty"`
}

// EnvVar is an environment variable.
type EnvVar struct {
	// name of the variable.
	Name string `json:"name"`
	// value of the variable.
	// +optional
	Value string `json:"value,omitempty"`
}
