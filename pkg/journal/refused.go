// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"errors"
)

// Refused returns the error of a staged append that is known to have failed,
// nil if its outcome is good or not known yet. An engine that orders without
// waiting keeps the order whatever happens later; one that cannot has the
// outcome by now, and whoever stages ahead of another write must look at it
// before that write.
func Refused(p Pending) error {
	err := p.Wait(over)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

var over = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()
