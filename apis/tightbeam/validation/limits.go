// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

// Bounds of single values. The whole object is bounded by the request's size.
const (
	maxModelID     = 256
	maxDescription = 4 << 10
	maxTitle       = 256
	maxSystem      = 1 << 20
	maxParameters  = 64 << 10
	maxSchema      = 256 << 10
	maxToolInput   = 1 << 20
	maxTools       = 256
	maxMessages    = 4096
	maxText        = 8 << 20
	maxFallbacks   = 16
	maxSenders     = 1024
	maxEgressRules = 64

	maxTokens      = 10_000_000
	maxJobs        = 100
	maxTurnsPerJob = 1024
	maxAttempts    = 10
	// maxBackoffSeconds is where the doubling of the backoff ends, too.
	maxBackoffSeconds = 60
	maxIdleSeconds    = 24 * 60 * 60
	maxDeadline       = 24 * 60 * 60
	maxQueue          = 10_000
	maxTTL            = 10 * 365 * 24 * 60 * 60
)
