// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"time"

	"k8s.io/klog/v2"

	"safebeam.dev/safebeam/pkg/apiserver/options"
	"safebeam.dev/safebeam/pkg/storage/bbolt"
)

const (
	// lockWait is how long a store may still be in use: by the pod that this
	// one replaces, which has 30 s to end.
	lockWait = 45 * time.Second
	lockPoll = 100 * time.Millisecond
)

// open makes the server's configuration as soon as its store is free.
func open(ctx context.Context, o *options.Options) (*options.Opened, error) {
	deadline := time.Now().Add(lockWait)
	for said := false; ; said = true {
		opened, err := o.Config(ctx)
		if !errors.Is(err, bbolt.ErrLocked) || time.Now().After(deadline) {
			return opened, err
		}
		if !said {
			klog.FromContext(ctx).Info("Waiting for the store", "err", err, "for", lockWait)
		}
		timer := time.NewTimer(lockPoll)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-timer.C:
		}
	}
}
