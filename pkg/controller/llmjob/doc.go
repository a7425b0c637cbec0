// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package llmjob runs the jobs of models: as many as the unfinished turns
// need, within spec.jobs, launched the moment a turn waits for one.
//
// Laws:
//   - Jobs are counted from what the launcher lists and turns from what the
//     informer lists; nothing is remembered but failures, so a restarted
//     controller goes on where the last one stopped.
//   - Jobs that fail are launched again later and later, up to maxBackoff
//     apart. A changed model or Secret is tried at once.
//   - A job that no longer fits its model is asked to finish its turns, not
//     killed, and its successor does not wait for that.
//   - Idle exits are the job's own business. Only the jobs that spec.jobs.min
//     keeps warm, and those beyond a lowered spec.jobs.max, are asked to leave.
//   - This loop is the only writer of the condition Ready of models, and
//     writes only when it changes.
package llmjob
