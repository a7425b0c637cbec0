// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"errors"
)

// ErrDropped says that the owner that was followed has been dropped.
var ErrDropped = errors.New("journal: owner dropped")

// Done returns an outcome that is known already.
func Done(err error) Pending { return done{err} }

type done struct{ err error }

func (d done) Wait(context.Context) error { return d.err }
