// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Conditions of warm pools.
const (
	// WarmPoolReady is true while a claim finds a pod.
	WarmPoolReady = "Ready"
	// WarmPoolScalingUp is true while pods are being made.
	WarmPoolScalingUp = "ScalingUp"
	// WarmPoolScalingDown is true while unused pods are being removed.
	WarmPoolScalingDown = "ScalingDown"
)

// +genclient
// +genclient:method=GetScale,verb=get,subresource=scale,result=k8s.io/api/autoscaling/v1.Scale
// +genclient:method=UpdateScale,verb=update,subresource=scale,input=k8s.io/api/autoscaling/v1.Scale,result=k8s.io/api/autoscaling/v1.Scale
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// WarmPool keeps pods ready, so that a sandbox is Running when its creation
// returns.
type WarmPool struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says which pods are kept, and how many.
	Spec WarmPoolSpec `json:"spec"`
	// status is what has been observed of the pool.
	// +optional
	Status WarmPoolStatus `json:"status,omitempty"`
}

// WarmPoolSpec says which pods are kept, and how many.
type WarmPoolSpec struct {
	// runtime is language:version, such as python:3.11, or the name of a
	// RuntimeEnvironment.
	Runtime string `json:"runtime"`
	// minSize is the number of unused pods that are kept ready. It is what the
	// subresource scale changes.
	MinSize int32 `json:"minSize"`
	// maxSize is the largest number of pods, used and unused. 0: no limit.
	// +optional
	MaxSize int32 `json:"maxSize,omitempty"`
	// securityLevel is standard, high or custom; sandboxes of another level
	// never get a pod of this pool. Default: the profile's, or standard.
	// +optional
	SecurityLevel SecurityLevel `json:"securityLevel,omitempty"`
	// ttl is the time in seconds after which an unused pod is replaced. 0:
	// never. Default 3600.
	// +optional
	// +default=3600
	TTL *int32 `json:"ttl,omitempty"`
	// resources of each pod. A sandbox fits that asks for no more.
	// +optional
	Resources *Resources `json:"resources,omitempty"`
	// profileRef names the SandboxProfile that bounds the pods. A sandbox fits
	// that names the same.
	// +optional
	ProfileRef *ObjectReference `json:"profileRef,omitempty"`
	// networkAccess opens the network of the pods, for what is preloaded and for
	// the sandboxes that take them: a sandbox fits that asks for the same. Unset:
	// nothing goes in or out.
	// +optional
	NetworkAccess *NetworkAccess `json:"networkAccess,omitempty"`
	// preloadPackages are installed before a pod is Ready, by the runtime's
	// package manager.
	// +optional
	// +listType=atomic
	PreloadPackages []string `json:"preloadPackages,omitempty"`
	// preloadScripts run in order before a pod is Ready, after the packages.
	// +optional
	// +listType=map
	// +listMapKey=name
	PreloadScripts []PreloadScript `json:"preloadScripts,omitempty"`
	// autoScaling changes the number of unused pods by use.
	// +optional
	AutoScaling *AutoScaling `json:"autoScaling,omitempty"`
	// allowedNamespaces are those whose sandboxes may take pods of this pool.
	// Default: the pool's own.
	// +optional
	// +listType=set
	AllowedNamespaces []string `json:"allowedNamespaces,omitempty"`
}

// PreloadScript is code in the runtime's language.
type PreloadScript struct {
	// name of the script, for conditions and logs.
	Name string `json:"name"`
	// content of the script.
	Content string `json:"content"`
}

// AutoScaling changes the number of unused pods by use.
type AutoScaling struct {
	// enabled turns it on. Default false.
	// +optional
	Enabled bool `json:"enabled,omitempty"`
	// targetUtilization is the percentage of pods in use that is aimed at.
	// Default 80.
	// +optional
	// +default=80
	TargetUtilization *int32 `json:"targetUtilization,omitempty"`
	// scaleDownDelay is the time in seconds after a change before pods are
	// taken away. Default 300.
	// +optional
	// +default=300
	ScaleDownDelay *int32 `json:"scaleDownDelay,omitempty"`
}

// WarmPoolStatus is what has been observed of a pool.
type WarmPoolStatus struct {
	// availablePods are ready and unused.
	// +optional
	AvailablePods int32 `json:"availablePods"`
	// assignedPods serve a sandbox.
	// +optional
	AssignedPods int32 `json:"assignedPods"`
	// pendingPods are being made.
	// +optional
	PendingPods int32 `json:"pendingPods"`
	// lastScaleTime is when the wanted number of pods last changed.
	// +optional
	LastScaleTime *metav1.Time `json:"lastScaleTime,omitempty"`
	// hitRate is the percentage of fitting sandboxes that found a pod, of late.
	// +optional
	HitRate *int32 `json:"hitRate,omitempty"`
	// peakDemand is the largest number of fitting sandboxes that came, of late,
	// within the time that making a pod takes: the longest, but at most four times
	// the shortest. autoScaling keeps that many ready.
	// +optional
	PeakDemand int32 `json:"peakDemand,omitempty"`
	// selector matches the pool's WarmPods, for the subresource scale.
	// +optional
	Selector string `json:"selector,omitempty"`
	// observedGeneration is the generation that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions: Ready, ScalingUp, ScalingDown.
	// +optional
	// +patchMergeKey=type
	// +patchStrategy=merge
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty" patchStrategy:"merge" patchMergeKey:"type"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// WarmPoolList is a list of pools.
type WarmPoolList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []WarmPool `json:"items"`
}

// WarmPodPhase says where a warm pod is in its life.
// +enum
type WarmPodPhase string

const (
	// WarmPodPending is being made, or was made by a user and never counts.
	WarmPodPending WarmPodPhase = "Pending"
	// WarmPodReady waits for a sandbox.
	WarmPodReady WarmPodPhase = "Ready"
	// WarmPodAssigned serves a sandbox, once.
	WarmPodAssigned WarmPodPhase = "Assigned"
	// WarmPodTerminating is being removed.
	WarmPodTerminating WarmPodPhase = "Terminating"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// WarmPod is a pod of a pool. Pools make them; one that a user makes stays
// Pending and counts for nothing.
type WarmPod struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec names the pool. It cannot change.
	Spec WarmPodSpec `json:"spec"`
	// status is what has been observed of the pod.
	// +optional
	Status WarmPodStatus `json:"status,omitempty"`
}

// WarmPodSpec names the pool.
type WarmPodSpec struct {
	// poolRef names the pool.
	PoolRef ObjectReference `json:"poolRef"`
	// creationTimestamp is accepted and has no effect: metadata has it.
	// +optional
	CreationTimestamp *metav1.Time `json:"creationTimestamp,omitempty"`
	// lastHeartbeat is accepted and has no effect: status has it.
	// +optional
	LastHeartbeat *metav1.Time `json:"lastHeartbeat,omitempty"`
}

// WarmPodStatus is what has been observed of a warm pod. What the pod was made
// as stands here: the pool's spec may have changed since.
type WarmPodStatus struct {
	// phase is Pending, Ready, Assigned or Terminating.
	// +optional
	Phase WarmPodPhase `json:"phase,omitempty"`
	// reason says in a word why, such as PreloadFailed.
	// +optional
	Reason string `json:"reason,omitempty"`
	// message says it in a sentence, with what a preload step wrote last.
	// +optional
	Message string `json:"message,omitempty"`
	// poolUID is the pool that made the pod.
	// +optional
	PoolUID types.UID `json:"poolUID,omitempty"`
	// poolGeneration is the generation of the pool's spec that the pod is made by.
	// +optional
	PoolGeneration int64 `json:"poolGeneration,omitempty"`
	// templateHash stands for all that the pod was made as. A pod of another one
	// than the pool has now is replaced.
	// +optional
	TemplateHash string `json:"templateHash,omitempty"`
	// runtimeEnvironment is the name of the RuntimeEnvironment that runs.
	// +optional
	RuntimeEnvironment string `json:"runtimeEnvironment,omitempty"`
	// securityLevel that holds it.
	// +optional
	SecurityLevel SecurityLevel `json:"securityLevel,omitempty"`
	// resources in force.
	// +optional
	Resources *Resources `json:"resources,omitempty"`
	// profileRef names the SandboxProfile that bounds it.
	// +optional
	ProfileRef *ObjectReference `json:"profileRef,omitempty"`
	// filesystem says what may be written to.
	// +optional
	Filesystem *Filesystem `json:"filesystem,omitempty"`
	// securityContext of its processes.
	// +optional
	SecurityContext *SecurityContext `json:"securityContext,omitempty"`
	// networkAccess is how far its network is open.
	// +optional
	NetworkAccess *NetworkAccess `json:"networkAccess,omitempty"`
	// podName of the pod.
	// +optional
	PodName string `json:"podName,omitempty"`
	// podNamespace of the pod: the pool's.
	// +optional
	PodNamespace string `json:"podNamespace,omitempty"`
	// podIP of the pod.
	// +optional
	PodIP string `json:"podIP,omitempty"`
	// nodeName is where the pod runs.
	// +optional
	NodeName string `json:"nodeName,omitempty"`
	// readyTime is when it became Ready.
	// +optional
	ReadyTime *metav1.Time `json:"readyTime,omitempty"`
	// lastHeartbeat is when its sandboxd last came or went.
	// +optional
	LastHeartbeat *metav1.Time `json:"lastHeartbeat,omitempty"`
	// assignedTo is the sandbox it serves, as NAMESPACE/NAME.
	// +optional
	AssignedTo string `json:"assignedTo,omitempty"`
	// assignedToUID is the uid of that sandbox.
	// +optional
	AssignedToUID types.UID `json:"assignedToUID,omitempty"`
	// assignedAt is when it was bound.
	// +optional
	AssignedAt *metav1.MicroTime `json:"assignedAt,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// WarmPodList is a list of warm pods.
type WarmPodList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []WarmPod `json:"items"`
}
