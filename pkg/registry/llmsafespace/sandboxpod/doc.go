// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sandboxpod serves sandboxes/pods and warmpods/pods: the controller's
// word on which pod is whose. It is for the controller alone and its verbs are
// in no default role but the controller's.
//
//	PUT    …/sandboxes/NAME/pods/UID   {"sandboxUID": "…", "podName": "…", "podNamespace": "…"}
//	PUT    …/warmpods/NAME/pods/UID    {"warmPodUID": "…", "podName": "…", "podNamespace": "…"}
//	DELETE …/sandboxes/NAME/pods/UID   once the pod is gone
//	GET    …/sandboxes/NAME/pods       {"items": [{"podUID": "…", …}]}
//
// A pod is bound to an object that is there, has the UID that the controller
// made the pod for, and is not over: no late word revives anything.
package sandboxpod
