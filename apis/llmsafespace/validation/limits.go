// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"k8s.io/apimachinery/pkg/api/resource"
)

// Limits are the largest resources that the server gives to one sandbox. Zero
// is no limit.
type Limits struct {
	CPU, Memory, EphemeralStorage, VolumeSize resource.Quantity
}

// The least with which a sandbox starts at all.
var (
	minCPU     = resource.MustParse("10m")
	minMemory  = resource.MustParse("16Mi")
	minStorage = resource.MustParse("1Mi")
)

// Bounds of single values. The whole object is bounded by the request's size.
const (
	maxLifetime   = 24 * 60 * 60
	maxTTL        = 10 * 365 * 24 * 60 * 60
	maxEnv        = 256
	maxEnvValue   = 32 << 10
	maxRules      = 64
	maxPorts      = 64
	maxPaths      = 32
	maxUser       = 256
	maxCode       = 1 << 20
	maxStdin      = 1 << 20
	maxArguments  = 1024
	maxArgument   = 128 << 10 // of one: Linux's MAX_ARG_STRLEN
	maxPool       = 10_000
	maxPackages   = 128
	maxScripts    = 16
	maxScript     = 256 << 10
	maxNamespaces = 256
	maxDelay      = 24 * 60 * 60
)
