// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package llmjob is the job that calls a language model: it holds one API key,
// pulls turns of one model from the gateway, calls the provider, and streams
// the answer back.
//
// Laws that it keeps:
//
//   - A chunk is forgotten only once the gateway said that it is durable. After
//     a broken connection the job goes on behind the last durable chunk, with
//     the same chunks under the same sequence numbers.
//   - An attempt ends with exactly one terminal chunk, TurnComplete or
//     TurnError, unless the gateway said first that the attempt is over.
//   - A delta leaves as it arrives; nothing waits for a batch.
//   - What is not acknowledged is bounded. Beyond the bound the provider is not
//     read until the gateway has caught up.
//   - The API key comes from the Secret's directory and goes to the provider's
//     host. It is in no argument, environment, log, chunk or exit message.
//
// The provider SDKs are not imported here but by cmd/safebeam-llm-job alone,
// so that a launcher may import this package for the names in contract.go.
package llmjob
