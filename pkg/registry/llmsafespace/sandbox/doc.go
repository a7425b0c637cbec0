// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sandbox serves sandboxes and what is done in them: exec and files.
//
// Laws:
//   - What a sandbox names is there when it is made: its runtime resolves to an
//     environment, and its profile has its say. What cannot be resolved is a 422
//     on its field that tells what there is.
//   - A profile is policy: see package policy. Using one of another namespace
//     needs the verb use.
//   - Who made a sandbox, and how it is, nobody but the server says: status is
//     dropped at creation and untouched by writes of the object.
//   - Only its times change.
//   - To run something in a sandbox needs create on sandboxes/exec, over
//     WebSockets too, whose method is GET.
//   - Exec and files work on the pod that the binding record names. Nothing that
//     is written into a status leads them elsewhere.
package sandbox
