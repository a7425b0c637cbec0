// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sandboxmetrics tells Prometheus what becomes of sandboxes and of
// executions, and what goes through exec and files.
//
// Laws:
//   - A sandbox and an execution are counted once, when their step is durable.
//     Counters begin at zero with the process; the truth is in the objects.
//   - Gauges are read when they are asked for, from what there is.
//   - No label has values that users can make without end: the first 50 runtimes and
//     the first 50 reasons have their own, all others share "other". Nobody's name
//     is a label, no sandbox's, no user's, no namespace's.
//   - Buckets begin at 1 ms.
package sandboxmetrics
