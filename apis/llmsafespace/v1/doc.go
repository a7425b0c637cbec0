// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package v1 has the types of llmsafespace.dev/v1: sandboxes, what runs in
// them, what they are made from, and the pools that keep them ready. It is
// also registered as the group's internal version; a hub of its own comes with
// a second version.
//
// +k8s:deepcopy-gen=package
// +k8s:defaulter-gen=TypeMeta
// +k8s:openapi-gen=true
// +k8s:openapi-model-package=dev.llmsafespace.v1
// +groupName=llmsafespace.dev
package v1
