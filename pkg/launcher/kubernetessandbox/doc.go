// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kubernetessandbox launches sandbox pods as Pods.
//
//	init container (our image) ──copies sandboxd──► emptyDir ──read-only──► runtime image: sandboxd as PID 1
//
// Laws:
//   - The Pod is all there is to know: its annotation says whose it is, so that a
//     restarted controller goes on where the last one stopped.
//   - No pod is made in a namespace before the NetworkPolicy is there that closes
//     all of them: nothing in, nothing out but the gateway. What a sandbox may
//     reach besides is a policy of its own that only opens. What somebody does to
//     the policy of a namespace with pods is put right within seconds, and before
//     the next pod; a pod's own that somebody deletes is made again.
//   - No guest runs before sandboxd has reached the gateway: what starts in a pod
//     until then is ours.
//   - A pod has no token of the cluster: the one that it has is for our audience.
//     It finds the gateway by address, so it needs no DNS.
//   - Nothing is downgraded in silence: a RuntimeClass that is not there, a
//     namespace that is not open, a quota that is spent, are refusals that say what
//     to do.
//   - One container, never started again: a pod that ended is read, told and
//     deleted.
//   - What the cluster does not show us we do not guess: a pod that we made is
//     listed from that moment on, whatever the informer has seen.
package kubernetessandbox
