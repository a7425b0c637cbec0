// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package journal

import "errors"

// ErrDropped says that the owner that was followed has been dropped.
var ErrDropped = errors.New("journal: owner dropped")
