// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package generic has what the REST storages of all our resources share above
// k8s.io/apiserver's generic registry: what their strategies have in common, the
// status subresource, and the rule that an object which server-side apply makes
// goes the way of a POST.
package generic
