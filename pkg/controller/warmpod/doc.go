// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package warmpod makes warm pods Ready: the part of their life that hangs on the
// connections of their sandboxds. It stands beside the gateway, in the API
// server's process; the pods themselves the package warmpool makes.
//
//	Pending ──connected──► preloaded ──► Ready, on the shelf ──(claim)──► Assigned
//	   ▲          │ a step fails          │ away
//	   │          ▼                       │
//	   │   PreloadFailed: replaced        │
//	   └────── Disconnected ◄─────────────┘
//
// Laws:
//   - Ready says that sandboxd is connected and every preload step has succeeded.
//   - A pod leaves the shelf at once when its connection goes, and its phase a
//     moment later: a connection that comes back at once is no news.
//   - A pod that comes back, after a restart of the server as well, is asked
//     whether it was configured for a sandbox; one that was is destroyed.
//   - A pod is asked once more when its sandboxd has come to rest on the shelf: one
//     that has dropped its code would fetch it back at a claim's expense.
//   - Preload steps run one after the other, each once; what one leaves running is
//     ended. They run before any sandbox's env or files are there.
//   - This loop alone writes hitRate and peakDemand of pools, the phases Pending
//     and Ready of warm pods, and why a preload failed.
package warmpod
