// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package warmpool keeps warm pools filled. One loop decides for each pool how
// many WarmPods there are, another one makes and removes the pod of each. That a
// pod is Ready the gateway says, which has its connection and preloads it; that
// it is Assigned, the claim.
//
//	pool loop: spec, pods ──plan──► WarmPod created, WarmPod deleted, pool status
//	pod loop:  WarmPod ──launch, bind, describe──► (gateway) Ready ──(claim) Assigned
//	                                                   │ deleted         │ sandbox over
//	                                                   ▼                 ▼
//	                                        pod gone, binding dropped, finalizer removed
//
// Laws:
//   - A pod that a sandbox has, or may get at this moment, is not removed by this
//     loop: it deletes the very version of a Ready WarmPod that it has seen, so
//     that a claim in between wins, and an Assigned one when its sandbox is over.
//   - A used pod is destroyed.
//   - The pool's way out is open before the gateway knows whose a pod is, and so
//     before anything is preloaded in it. Nothing gets into a pod that no sandbox has.
//   - maxSize bounds the pods that are there, those on their way out included.
//   - When a pool's template changes, what is available stays so: an old pod goes
//     when a new one is Ready in its place. Where maxSize leaves no room for that,
//     they go one at a time.
//   - Pods that cannot be made are tried later and later, up to maxBackoff apart;
//     a changed template is tried at once.
//   - A WarmPod that somebody else made is not looked at: it has no poolUID.
//   - A pool that is deleted takes its unused pods along. Those in use stay with
//     their sandboxes.
package warmpool
