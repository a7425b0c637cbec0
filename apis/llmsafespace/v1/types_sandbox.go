// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SandboxPhase says where a sandbox is in its life. Terminated, Failed and
// Lost are terminal: there is no way back, and no second pod.
// +enum
type SandboxPhase string

const (
	// SandboxPending waits for a pod to be made.
	SandboxPending SandboxPhase = "Pending"
	// SandboxCreating has a pod that is not ready.
	SandboxCreating SandboxPhase = "Creating"
	// SandboxRunning can be used.
	SandboxRunning SandboxPhase = "Running"
	// SandboxTerminating is being ended.
	SandboxTerminating SandboxPhase = "Terminating"
	// SandboxTerminated ended as it should: by its time or by its owner.
	SandboxTerminated SandboxPhase = "Terminated"
	// SandboxFailed never came to be, or ended of itself.
	SandboxFailed SandboxPhase = "Failed"
	// SandboxLost had a pod that went away.
	SandboxLost SandboxPhase = "Lost"
)

// Terminal reports whether the phase is one that a sandbox never leaves.
func (p SandboxPhase) Terminal() bool {
	return p == SandboxTerminated || p == SandboxFailed || p == SandboxLost
}

// SandboxFinalizer keeps a deleted sandbox until its pod is gone and its
// executions have ended.
const SandboxFinalizer = "llmsafespace.dev/sandbox"

// Conditions of sandboxes.
const (
	// SandboxReady is true while the sandbox can be used.
	SandboxReady = "Ready"
	// SandboxPodCreated is true once there is a pod.
	SandboxPodCreated = "PodCreated"
	// SandboxWarmPodBound is true if the pod was a warm one, else says why not.
	SandboxWarmPodBound = "WarmPodBound"
	// SandboxIntruderRefused tells that somebody had the token of the sandbox's pod
	// and was not its agent.
	SandboxIntruderRefused = "IntruderRefused"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// Sandbox is a place to run code that nobody trusts.
type Sandbox struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says what the sandbox offers and what it is held by. Only its times
	// may change.
	Spec SandboxSpec `json:"spec"`
	// status is what has been observed of the sandbox.
	// +optional
	Status SandboxStatus `json:"status,omitempty"`
}

// SandboxSpec says what the sandbox offers and what it is held by.
type SandboxSpec struct {
	// runtime is language:version, such as python:3.11, or the name of a
	// RuntimeEnvironment.
	Runtime string `json:"runtime"`
	// securityLevel is standard, high or custom. Default: the profile's, or
	// standard.
	// +optional
	SecurityLevel SecurityLevel `json:"securityLevel,omitempty"`
	// timeout is the sandbox's lifetime in seconds, from its start. Default 300.
	// +optional
	// +default=300
	Timeout *int32 `json:"timeout,omitempty"`
	// idleTimeout is the time in seconds without exec, execution, stream or
	// file traffic after which the sandbox ends before its timeout. Unset: it
	// does not.
	// +optional
	IdleTimeout *int32 `json:"idleTimeout,omitempty"`
	// resources are the limits of everything in the sandbox together.
	// +optional
	Resources *Resources `json:"resources,omitempty"`
	// env is given to every process, in warm pods too.
	// +optional
	// +listType=map
	// +listMapKey=name
	Env []EnvVar `json:"env,omitempty"`
	// networkAccess opens the network. Unset: nothing goes in or out.
	// +optional
	NetworkAccess *NetworkAccess `json:"networkAccess,omitempty"`
	// filesystem says what may be written to.
	// +optional
	Filesystem *Filesystem `json:"filesystem,omitempty"`
	// storage asks for a volume under /workspace.
	// +optional
	Storage *Storage `json:"storage,omitempty"`
	// securityContext of the processes. It may ask for less than the security
	// level gives, never for more.
	// +optional
	// +default={}
	SecurityContext *SecurityContext `json:"securityContext,omitempty"`
	// user is whom the sandbox is for, in the words of whoever creates it.
	// Who that really was is status.createdBy.
	// +optional
	User string `json:"user,omitempty"`
	// ttlSecondsAfterFinished is how long the object stays after the sandbox's
	// end. Default 3600.
	// +optional
	// +default=3600
	TTLSecondsAfterFinished *int32 `json:"ttlSecondsAfterFinished,omitempty"`
	// useWarmPool takes a warm pod if one fits. Default true.
	// +optional
	// +default=true
	UseWarmPool *bool `json:"useWarmPool,omitempty"`
	// warmPoolRef names the pool to take the warm pod from. Default: any that
	// fits and allows this namespace.
	// +optional
	WarmPoolRef *ObjectReference `json:"warmPoolRef,omitempty"`
	// profileRef names the SandboxProfile that bounds the sandbox. Using one
	// of another namespace needs the verb use on it.
	// +optional
	ProfileRef *ObjectReference `json:"profileRef,omitempty"`
}

// NetworkAccess opens the network.
type NetworkAccess struct {
	// egress is what may be reached.
	// +optional
	// +listType=atomic
	Egress []NetworkRule `json:"egress,omitempty"`
	// ingress lets pods of the same namespace reach the sandbox. Default false.
	// +optional
	Ingress bool `json:"ingress,omitempty"`
}

// Filesystem says what may be written to.
type Filesystem struct {
	// readOnlyRoot makes everything read-only but writablePaths. Default true;
	// false needs the security level custom.
	// +optional
	// +default=true
	ReadOnlyRoot *bool `json:"readOnlyRoot,omitempty"`
	// writablePaths may be written to. Default /tmp and /workspace.
	// +optional
	// +listType=set
	WritablePaths []string `json:"writablePaths,omitempty"`
}

// Storage asks for a volume.
type Storage struct {
	// persistent makes /workspace a volume. Default false.
	// +optional
	Persistent bool `json:"persistent,omitempty"`
	// volumeSize of the volume. Default 5Gi.
	// +optional
	VolumeSize *resource.Quantity `json:"volumeSize,omitempty"`
}

// SecurityContext of the processes in a sandbox.
type SecurityContext struct {
	// runAsNonRoot is always true.
	// +optional
	// +default=true
	RunAsNonRoot *bool `json:"runAsNonRoot,omitempty"`
	// runAsUser is the user id. Default 1000.
	// +optional
	// +default=1000
	RunAsUser *int64 `json:"runAsUser,omitempty"`
	// runAsGroup is the group id. Default 1000.
	// +optional
	// +default=1000
	RunAsGroup *int64 `json:"runAsGroup,omitempty"`
	// seccompProfile filters system calls. Default: the profile's, or RuntimeDefault.
	// +optional
	SeccompProfile *SeccompProfile `json:"seccompProfile,omitempty"`
	// appArmorProfile is refused for now.
	// +optional
	AppArmorProfile string `json:"appArmorProfile,omitempty"`
	// allowPrivilegeEscalation is always false.
	// +optional
	AllowPrivilegeEscalation bool `json:"allowPrivilegeEscalation,omitempty"`
}

// SeccompProfileType says where a seccomp profile comes from.
// +enum
type SeccompProfileType string

const (
	// SeccompRuntimeDefault is the container runtime's profile.
	SeccompRuntimeDefault SeccompProfileType = "RuntimeDefault"
	// SeccompLocalhost is a file on the node.
	SeccompLocalhost SeccompProfileType = "Localhost"
)

// SeccompProfile filters system calls.
type SeccompProfile struct {
	// type is RuntimeDefault, or with the security level custom Localhost.
	Type SeccompProfileType `json:"type"`
	// localhostProfile is the file of type Localhost, below the kubelet's
	// seccomp directory.
	// +optional
	LocalhostProfile string `json:"localhostProfile,omitempty"`
}

// SandboxStatus is what has been observed of a sandbox. It is for people and
// programs to read; nothing is routed by it.
type SandboxStatus struct {
	// phase is Pending, Creating, Running, Terminating, and in the end
	// Terminated, Failed or Lost.
	// +optional
	Phase SandboxPhase `json:"phase,omitempty"`
	// reason says in a word why the phase is what it is, such as TimedOut,
	// Idle, OOMKilled or NodeLost.
	// +optional
	Reason string `json:"reason,omitempty"`
	// message says it in a sentence.
	// +optional
	Message string `json:"message,omitempty"`
	// observedGeneration is the generation that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions: Ready, PodCreated, WarmPodBound.
	// +optional
	// +patchMergeKey=type
	// +patchStrategy=merge
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty" patchStrategy:"merge" patchMergeKey:"type"`
	// createdBy is the user that created the sandbox.
	// +optional
	CreatedBy string `json:"createdBy,omitempty"`
	// runtimeEnvironment is the name of the RuntimeEnvironment that spec.runtime
	// was resolved to.
	// +optional
	RuntimeEnvironment string `json:"runtimeEnvironment,omitempty"`
	// runtimeVersion is the version that really runs.
	// +optional
	RuntimeVersion string `json:"runtimeVersion,omitempty"`
	// startTime is when the sandbox came to be Running.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// expiresAt is when its timeout ends it.
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`
	// lastActivityTime is when something last ran or went in or out, to the minute.
	// +optional
	LastActivityTime *metav1.Time `json:"lastActivityTime,omitempty"`
	// completionTime is when the sandbox reached its terminal phase.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
	// resources in force. A warm pod may have more than was asked for.
	// +optional
	Resources *Resources `json:"resources,omitempty"`
	// endpoint is the DNS name under which pods that may reach the sandbox find it.
	// +optional
	Endpoint string `json:"endpoint,omitempty"`
	// podName of the pod, or the name of the process group.
	// +optional
	PodName string `json:"podName,omitempty"`
	// podNamespace of the pod: the pool's for a warm one.
	// +optional
	PodNamespace string `json:"podNamespace,omitempty"`
	// podIP of the pod.
	// +optional
	PodIP string `json:"podIP,omitempty"`
	// nodeName is where the pod runs.
	// +optional
	NodeName string `json:"nodeName,omitempty"`
	// warmPodRef names the WarmPod that was bound.
	// +optional
	WarmPodRef *ObjectReference `json:"warmPodRef,omitempty"`
	// timings of the way to Running.
	// +optional
	Timings *SandboxTimings `json:"timings,omitempty"`
}

// SandboxTimings are durations in milliseconds, from creation.
type SandboxTimings struct {
	// queuedMilliseconds is until a pod was chosen or its making begun.
	// +optional
	QueuedMilliseconds int64 `json:"queuedMilliseconds,omitempty"`
	// boundMilliseconds is until the sandbox had its pod.
	// +optional
	BoundMilliseconds int64 `json:"boundMilliseconds,omitempty"`
	// readyMilliseconds is until the sandbox could be used.
	// +optional
	ReadyMilliseconds int64 `json:"readyMilliseconds,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// SandboxList is a list of sandboxes.
type SandboxList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Sandbox `json:"items"`
}
