// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package warmpods binds warm pods to sandboxes inside the request that creates
// them: the answer to the POST says Running.
//
//	POST sandboxes ──► admission, quota, validation, dry run ──► Storage.Create
//	                                                                 │ the name is free
//	                        shelf: ready pods by pool ──── Take ◄────┤
//	                                                                 │ in parallel:
//	            WarmPod  Ready → Assigned     (compare-and-swap) ◄───┤
//	            binding  WarmPod → Sandbox    (compare-and-swap) ◄───┤
//	            sandboxd Configure                               ◄───┤
//	                                                                 ▼ all three:
//	                                            the Sandbox is stored, Running
//
// Laws:
//   - This is the only allocator. A pod is handed out once: it leaves the shelf
//     before anything is written, and nothing brings it back.
//   - A claim counts when both its writes are made and sandboxd has taken the
//     configuration; only then is the sandbox stored, and it is never durable
//     before they are: the embedded store keeps the order of writes and has the
//     three share a sync, with etcd each is waited for. Whatever is left of a claim
//     without a sandbox, be it by an error or by a crash, is destroyed: by who
//     failed, or by Recover.
//   - The WarmPod's compare-and-swap settles the race with whoever removes it: a
//     pod that is being deleted is not claimed, and one that is claimed is not
//     deleted by a decision that was made before.
//   - Only a pod that is connected to this process, Ready and still its WarmPod's
//     by the binding is on the shelf. After a restart it is empty until each pod
//     has been seen anew.
//   - A create whose name is taken claims nothing.
//   - Nothing that a pod is made with is changed by a claim. What a sandbox asks
//     otherwise makes it start cold, and condition WarmPodBound names the field.
//   - No I/O happens while the shelf is locked.
package warmpods
