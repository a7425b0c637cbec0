// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bubblewrap

// CgroupParents are where the sandboxes of a StateDir have their cgroups.
var CgroupParents = cgroupParents
