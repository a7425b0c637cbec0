// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package launcher

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// The reasons why a sandbox's pod is refused, does not start or is gone, as the
// condition PodCreated and status.reason of sandboxes have them. Those of
// containers that do not start (ImagePullBackOff, …) are Kubernetes' own.
const (
	// ReasonOOMKilled: the memory limit was passed by something other than the
	// guest, which sandboxd ends before.
	ReasonOOMKilled = "OOMKilled"
	// ReasonEvicted: the node took the pod away for want of resources, or the
	// pod passed its ephemeral storage.
	ReasonEvicted = "Evicted"
	// ReasonDrained: the pod was taken from its node by somebody's order.
	ReasonDrained = "Drained"
	// ReasonNodeLost: the node went, or has not been heard of.
	ReasonNodeLost = "NodeLost"
	// ReasonPodDeleted: somebody other than us deleted the pod.
	ReasonPodDeleted = "PodDeleted"
	// ReasonAgentFailed: sandboxd ended by itself.
	ReasonAgentFailed = "AgentFailed"
	// ReasonLauncherRestarted: the pods of this launcher die with its process,
	// and it did.
	ReasonLauncherRestarted = "LauncherRestarted"
	// ReasonUnschedulable: no node has room.
	ReasonUnschedulable = "Unschedulable"
	// ReasonRuntimeClassNotFound: the security level high needs a RuntimeClass
	// that the cluster does not have.
	ReasonRuntimeClassNotFound = "RuntimeClassNotFound"
	// ReasonQuotaExceeded: the namespace's ResourceQuota or LimitRange has no
	// room for the pod.
	ReasonQuotaExceeded = "QuotaExceeded"
	// ReasonPodForbidden: the pod was refused by an admission rule.
	ReasonPodForbidden = "PodForbidden"
	// ReasonAgentNotConnected: sandboxd runs and does not reach the gateway.
	ReasonAgentNotConnected = "AgentNotConnected"
	// ReasonNotSupported: this launcher cannot honour a field.
	ReasonNotSupported = "NotSupported"
)

// OwnerKind is what a sandbox pod is made for.
type OwnerKind string

const (
	OwnerSandbox OwnerKind = "Sandbox"
	OwnerWarmPod OwnerKind = "WarmPod"
)

// Owner is the object that a sandbox pod is made for. A warm pod that was
// claimed keeps its WarmPod as the owner here: who uses it is in the gateway's
// binding alone.
type Owner struct {
	Kind      OwnerKind
	Namespace string
	Name      string
	UID       types.UID
}

// PodSpec is what a sandbox pod is made of. It is complete: defaults have been
// set and the profile has had its say. What is applied to a running pod (env,
// working directory, timeouts) is not in it.
type PodSpec struct {
	// Name and Namespace of the pod. A name is used for one pod only.
	Name      string
	Namespace string
	Owner     Owner
	// Image, Language and Version are the RuntimeEnvironment's.
	Image         string
	Language      string
	Version       string
	SecurityLevel llmsafespacev1.SecurityLevel
	// Resources has CPU, Memory and EphemeralStorage set.
	Resources       llmsafespacev1.Resources
	Filesystem      llmsafespacev1.Filesystem
	Storage         *llmsafespacev1.Storage
	SecurityContext llmsafespacev1.SecurityContext
	// NetworkAccess opens the network from the start; a running pod's is opened
	// by SandboxLauncher.Open.
	NetworkAccess *llmsafespacev1.NetworkAccess
	// Labels are put on the pod beside the launcher's own.
	Labels map[string]string
}

// PodPhase says where a sandbox pod is in its life.
type PodPhase string

const (
	// PodPending: not started yet. Reason and Message say what it waits for, if
	// that is more than time.
	PodPending PodPhase = "Pending"
	// PodRunning: sandboxd was started; whether it is connected, the gateway
	// knows.
	PodRunning PodPhase = "Running"
	// PodStopping: it is being ended.
	PodStopping PodPhase = "Stopping"
	// PodEnded: it ended by itself, or was ended by somebody else; Reason and
	// Message say why. It stays listed until Delete.
	PodEnded PodPhase = "Ended"
	// PodGone: nothing is left of it.
	PodGone PodPhase = "Gone"
)

// Pod is a sandbox pod as its launcher sees it.
type Pod struct {
	UID       types.UID
	Name      string
	Namespace string
	Owner     Owner
	IP        string
	Node      string
	// Endpoint is a DNS name of the pod, where there is one.
	Endpoint string
	Phase    PodPhase
	// Since is when the pod was first seen in that phase, at the latest.
	Since time.Time
	// Started: it was Running once.
	Started bool
	// Reason is one of the reasons above or Kubernetes' own, Message a sentence
	// that a user can act on.
	Reason  string
	Message string
	// Hopeless: a Pending pod that nothing but another image or specification
	// would help.
	Hopeless bool
	// Notes are what the launcher does not enforce of the specification, such as
	// a limit, and why. It was said by an API warning where that could be known
	// at creation.
	Notes []string
}

// SandboxLauncher runs sandbox pods, one for each owner, for life.
//
// Launch, Open and Delete do not wait for pods, only for the order itself; what
// becomes of them is seen in Pods, and OnChange says when to look.
type SandboxLauncher interface {
	// Launch makes the pod. It is idempotent by name and owner UID. A *Refusal
	// says that it cannot be honoured until something else has changed: the
	// object stays Pending with that as its condition, and nothing less is made
	// in silence.
	Launch(ctx context.Context, spec PodSpec) (Pod, error)
	// Open has a running pod's network be opened to access, and to nothing else;
	// nil closes it. It is idempotent. Ingress is from pods of the namespace from:
	// that of the sandbox, which a claimed pod is not in. A launcher without a
	// network returns a *Refusal unless access opens nothing.
	Open(ctx context.Context, pod Pod, from string, access *llmsafespacev1.NetworkAccess) error
	// Delete ends the pod at once and forgets it. uid may be empty: then any pod
	// of that name. That it is not there (any more) is no error. The pod is
	// listed as PodStopping until it is gone.
	Delete(ctx context.Context, namespace, name string, uid types.UID) error
	// Release removes what outlives the pods of an owner, such as a volume. It is
	// called when the owner itself goes, after its pods have gone, and may be
	// repeated.
	Release(ctx context.Context, owner Owner) error
	// Pod gives one pod; ok is false if there is none of that name. Once Launch
	// has returned a pod it is known here.
	Pod(namespace, name string) (pod Pod, ok bool)
	// Pods are all that are known now, of all owners. They are complete from
	// before Run on: a launcher whose pods outlive the process has found them.
	Pods() []Pod
	// OnChange has changed called for every pod that changed, PodGone being the
	// last of it. Each handler is added once, before Run, and must not block.
	OnChange(changed func(Pod))
	// Run works until ctx ends. A launcher whose pods cannot outlive it ends them.
	Run(ctx context.Context) error
}
