// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package turnmetrics tells Prometheus what becomes of turns.
//
// Laws:
//   - A turn and an attempt are counted once, when their end is durable. Counters
//     begin at zero with the process; the truth is in the objects.
//   - No label has values that users can make without end: the first 200 models
//     have their own, all others share "other". Nobody's name, no turn's and no
//     conversation's is a label.
//   - Buckets begin at 1 ms.
package turnmetrics
