// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kubernetes runs LLM jobs as batch/v1 Jobs.
//
// The Secret of a model is named in the Job and mounted by the kubelet; this
// package never reads one. Whatever a pod may reach is said by a NetworkPolicy
// that is there before the Job is. What a pod is there for, it is not asked:
// the records of the gateway are written by this package when it sees the pod.
//
// Laws:
//   - A Job is all there is to know: its annotations say what it was made of,
//     so that a restarted controller goes on where the last one stopped. Jobs
//     outlive the controller.
//   - One pod a Job, never started again: what failed is read, told, and tried
//     again by the controller, under another name.
//   - The NetworkPolicy is there for as long as a pod is, whatever becomes of its
//     model, and there again when somebody deletes or changes it.
//   - A Job that was asked to leave finishes its turns within drainGrace; it
//     is deleted in the foreground, so that it is seen until its pod is gone.
//   - What the cluster does not show us we do not guess: a Job that we launched
//     is listed from that moment on, whatever the informers have seen.
package kubernetes
