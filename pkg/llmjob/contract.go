// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package llmjob

import "time"

// The environment of a job. Each variable is the default of a flag.
const (
	EnvControllerAddr = "TIGHTBEAM_CONTROLLER_ADDR" // --controller-addr, host:port of the gateway
	EnvModelName      = "TIGHTBEAM_MODEL_NAME"      // --model-name, the TightbeamModel
	EnvJobID          = "TIGHTBEAM_JOB_ID"          // --job-id
)

// The flags of a job.
const (
	FlagControllerAddr         = "controller-addr"
	FlagModelName              = "model-name"
	FlagJobID                  = "job-id"
	FlagSecretDir              = "secret-dir" // empty: no Secret, the provider is echo
	FlagCAFile                 = "ca-file"
	FlagServerName             = "server-name"
	FlagTokenFile              = "token-file"
	FlagIdleTimeout            = "idle-timeout" // 0: stay without work
	FlagTurnsPerJob            = "turns-per-job"
	FlagShutdownGrace          = "shutdown-grace"
	FlagProviderIdleTimeout    = "provider-idle-timeout"
	FlagTerminationMessagePath = "termination-message-path"
)

// Defaults of the flags.
const (
	DefaultSecretDir              = "/run/secrets/llm"
	DefaultIdleTimeout            = 300 * time.Second
	DefaultTurnsPerJob            = 8
	DefaultShutdownGrace          = 20 * time.Second
	DefaultMaxTokens              = 8192
	DefaultTerminationMessagePath = "/dev/termination-log"
)

// The keys of the Secret.
const (
	KeyProvider  = "provider"
	KeyModel     = "model"
	KeyAPIKey    = "api-key"
	KeyMaxTokens = "max-tokens"
)

// The exit codes of a job. Zero is a job that left by idle timeout or because
// it was asked to.
const (
	ExitOK            = 0
	ExitFailure       = 1
	ExitUsage         = 2
	ExitSecretInvalid = 3
	// ExitGateway: the gateway could not be reached, or refused the job.
	ExitGateway = 4
)

// ReasonSecretInvalid begins the termination message of a job that exits with
// ExitSecretInvalid: "SecretInvalid: …".
const ReasonSecretInvalid = "SecretInvalid"

// ReasonGateway begins that of one that exits with ExitGateway.
const ReasonGateway = "GatewayUnavailable"

// Metadata of the gateway's calls.
const (
	MetadataTurnUID  = "safebeam-turn-uid"
	MetadataAttempt  = "safebeam-attempt"
	MetadataReceived = "safebeam-received"
)

// MaxMessageSize bounds a gRPC message both ways.
const MaxMessageSize = 64 << 20

// KeepaliveTime is how often an idle connection is probed. The gateway has to
// permit it.
const KeepaliveTime = 15 * time.Second
