// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bindings

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Await returns the binding of a pod, and waits for it if it is not there yet.
// It returns nil if none has come in time, and at once if the pod was dropped.
func (s *Store) Await(ctx context.Context, podUID types.UID, wait time.Duration) (*Binding, error) {
	binding, there, leave := s.wait(podUID)
	if binding != nil || there == nil {
		return binding, nil
	}
	defer leave()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-there:
		if binding, ok := s.ByPod(podUID); ok {
			return &binding, nil
		}
		return nil, nil // bound and dropped since
	case <-timer.C:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// wait returns the binding, or is told of one that comes after this call.
func (s *Store) wait(uid types.UID) (now *Binding, there <-chan struct{}, leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if binding, ok := s.byPodLocked(uid); ok {
		return &binding, nil, nil
	}
	if _, dropped := s.tombs[uid]; dropped {
		return nil, nil, nil
	}
	there, leave = s.awaited.Wait(uid)
	return nil, there, leave
}
