// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sandbox is the loop of sandboxes: it has a pod made for each that has
// none, ends the pods of those that are over, and says what became of a pod that
// went by itself. That a sandbox is Running, that its time is over, and what
// runs in it, the gateway says.
//
//	Pending ──launch, bind──► Creating ──(gateway)──► Running ──(gateway)──► Terminating
//	   │                         │ pod ended             │ pod ended             │ pod gone
//	   │ refused: stays,         ▼                       ▼                       ▼
//	   │ condition says why    Failed                   Lost                 Terminated
//	   ▼ deleted: pod gone, nothing left of it, finalizer removed
//
// Laws:
//   - One sandbox, one pod, for life. The pod's name follows from the sandbox's
//     name and UID, launching is idempotent by it, and the gateway binds one pod
//     to a sandbox, once. A second pod, made because the first was lost before it
//     was known, is not bound and is deleted.
//   - Every step can be the last one of this process. What is to be done next
//     follows from the object and the launcher's pods alone.
//   - A sandbox is not gone before its pod is, and the binding is dropped before
//     anybody hears of the end: nobody reaches a pod that is said to be over.
//   - What has ended stays as it ended: a terminal phase is never written over.
package sandbox
