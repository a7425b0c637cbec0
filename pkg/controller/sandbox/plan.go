// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"fmt"
	"time"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/launcher"
)

// connectTimeout is how long sandboxd may take to reach the gateway from a pod
// that runs. The gateway waits less than that for a binding.
const connectTimeout = time.Minute

// Reasons of ends that this loop alone gives.
const (
	reasonDeleted = "Deleted"
)

// A step is what is to be done next for a sandbox.
type step int

const (
	// stepNone: nothing, until something changes.
	stepNone step = iota
	// stepLaunch: have a pod made, and bind it.
	stepLaunch
	// stepBind: the pod is there and may not be bound.
	stepBind
	// stepObserve: write down where the pod is, or what it waits for.
	stepObserve
	// stepEnd: drop the binding and write the end down.
	stepEnd
	// stepDeletePod: the pod has to go.
	stepDeletePod
	// stepRelease: nothing is left but the object.
	stepRelease
)

// ending is how a sandbox ended.
type ending struct {
	phase           llmsafespacev1.SandboxPhase
	reason, message string
}

// plan says what to do next for a sandbox; pod is its pod, if that is known, and
// lost what to say of one that is not. after asks to be called again then.
func plan(sandbox *llmsafespacev1.Sandbox, pod *launcher.Pod, lost ending, now time.Time) (do step, end ending, after time.Duration) {
	gone := pod == nil || pod.Phase == launcher.PodGone
	if gone && pod != nil && pod.Reason != "" {
		lost.reason, lost.message = pod.Reason, pod.Message
	}
	switch phase := sandbox.Status.Phase; {
	case sandbox.DeletionTimestamp != nil:
		switch {
		case !gone && pod.Phase != launcher.PodStopping:
			return stepDeletePod, ending{}, 0
		case !gone:
			return stepNone, ending{}, 0
		case !phase.Terminal():
			return stepEnd, ending{llmsafespacev1.SandboxTerminated, reasonDeleted, "the sandbox was deleted"}, 0
		}
		return stepRelease, ending{}, 0

	case phase.Terminal():
		if !gone && pod.Phase != launcher.PodStopping {
			return stepDeletePod, ending{}, 0
		}
		return stepNone, ending{}, 0

	case phase == llmsafespacev1.SandboxTerminating:
		switch {
		case gone || pod.Phase == launcher.PodEnded:
			return stepEnd, ending{llmsafespacev1.SandboxTerminated, sandbox.Status.Reason, sandbox.Status.Message}, 0
		case pod.Phase != launcher.PodStopping:
			return stepDeletePod, ending{}, 0
		}
		return stepNone, ending{}, 0

	case phase == "" || phase == llmsafespacev1.SandboxPending:
		switch {
		case gone:
			return stepLaunch, ending{}, 0
		case pod.Phase == launcher.PodEnded:
			return stepEnd, failed(pod), 0
		case pod.Phase == launcher.PodStopping:
			return stepNone, ending{}, 0 // it is seen when it is gone
		}
		return stepBind, ending{}, 0

	case phase == llmsafespacev1.SandboxCreating:
		switch {
		case gone:
			return stepEnd, ending{llmsafespacev1.SandboxFailed, lost.reason, lost.message}, 0
		case pod.Phase == launcher.PodEnded || pod.Phase == launcher.PodPending && pod.Hopeless:
			return stepEnd, failed(pod), 0
		case pod.Phase == launcher.PodRunning:
			left := pod.Since.Add(connectTimeout).Sub(now)
			if left <= 0 {
				return stepEnd, ending{
					llmsafespacev1.SandboxFailed, launcher.ReasonAgentNotConnected,
					fmt.Sprintf("sandboxd has not reached the gateway within %s of the pod's start: see the log of pod %s/%s, and whether the cluster's network lets it reach the gateway", connectTimeout, pod.Namespace, pod.Name),
				}, 0
			}
			return stepObserve, ending{}, left
		}
		return stepObserve, ending{}, 0

	default: // Running
		switch {
		case gone:
			return stepEnd, lost, 0
		case pod.Phase == launcher.PodEnded:
			return stepEnd, ending{llmsafespacev1.SandboxLost, pod.Reason, pod.Message}, 0
		}
		return stepObserve, ending{}, 0
	}
}

// failed is the end of a sandbox that never was Running.
func failed(pod *launcher.Pod) ending {
	return ending{llmsafespacev1.SandboxFailed, pod.Reason, pod.Message}
}
