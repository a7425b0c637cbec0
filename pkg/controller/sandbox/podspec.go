// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"strings"

	"k8s.io/client-go/tools/cache"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/launcher"
)

// maxPodName leaves the pod's name a DNS label, which its hostname and labels
// have to be.
const maxPodName = 63

// PodName is the name of the pod that a sandbox gets if no warm one is bound to
// it. Sandboxes that have the same name one after the other have different pods.
func PodName(sandbox *llmsafespacev1.Sandbox) string {
	id := string(sandbox.UID)
	if len(id) > 8 {
		id = id[:8]
	}
	name := sandbox.Name
	if room := maxPodName - len(id) - 1; len(name) > room {
		name = name[:room]
	}
	// A sandbox's name may have dots, a label may not.
	return strings.TrimRight(strings.ReplaceAll(name, ".", "-"), "-") + "-" + id
}

// podOf is the pod of a sandbox: the one that its status names, else the one
// that it would get.
func podOf(sandbox *llmsafespacev1.Sandbox) cache.ObjectName {
	if sandbox.Status.PodName != "" && sandbox.Status.PodNamespace != "" {
		return cache.ObjectName{Namespace: sandbox.Status.PodNamespace, Name: sandbox.Status.PodName}
	}
	return cache.ObjectName{Namespace: sandbox.Namespace, Name: PodName(sandbox)}
}

func ownerOf(sandbox *llmsafespacev1.Sandbox) launcher.Owner {
	return launcher.Owner{Kind: launcher.OwnerSandbox, Namespace: sandbox.Namespace, Name: sandbox.Name, UID: sandbox.UID}
}

// podSpec is what the pod of a sandbox is made of. The server has completed the
// sandbox.
func podSpec(sandbox *llmsafespacev1.Sandbox, environment *llmsafespacev1.RuntimeEnvironment) launcher.PodSpec {
	spec := launcher.PodSpec{
		Name: PodName(sandbox), Namespace: sandbox.Namespace, Owner: ownerOf(sandbox),
		Image: environment.Spec.Image, Language: environment.Spec.Language, Version: environment.Spec.Version,
		SecurityLevel: sandbox.Spec.SecurityLevel,
		Storage:       sandbox.Spec.Storage,
		NetworkAccess: sandbox.Spec.NetworkAccess,
	}
	if sandbox.Spec.Resources != nil {
		spec.Resources = *sandbox.Spec.Resources
	}
	if sandbox.Spec.Filesystem != nil {
		spec.Filesystem = *sandbox.Spec.Filesystem
	}
	if sandbox.Spec.SecurityContext != nil {
		spec.SecurityContext = *sandbox.Spec.SecurityContext
	}
	return spec
}
