// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turn

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/endpoints/request"

	"safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/registry/stream"
)

// maxWait bounds how long a reader waits for a turn that is not there yet. It is
// below the minute after which proxies give a request up that nobody has answered.
const maxWait = 30 * time.Second

// find returns the turn of a name. One that is not there yet it waits for, at
// most as long as it is told: a client that names its turns itself opens the
// stream beside the create instead of after its answer, and so has the first
// token a round trip earlier. Whoever may read a name may wait for it; there is
// nothing in it that reading again and again would not tell.
func (r *LogREST) find(ctx context.Context, name string, wait time.Duration) (*v1.Turn, error) {
	if wait == 0 {
		return r.current(ctx, name)
	}
	// Before it is looked for: what is created in between is not missed.
	created, leave := r.events.Created(request.NamespaceValue(ctx), name)
	defer leave()
	turn, err := r.current(ctx, name)
	if !apierrors.IsNotFound(err) {
		return turn, err
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-created:
	case <-timer.C:
	case <-ctx.Done():
		if errors.Is(context.Cause(ctx), stream.ErrStopping) {
			return nil, apierrors.NewServiceUnavailable("the server is stopping; read the turn again")
		}
		// The reader went away, mostly as its create was refused: nothing that
		// should count as a failure of the server.
		return nil, err
	}
	return r.current(ctx, name)
}

// current returns the turn that has the name now.
func (r *LogREST) current(ctx context.Context, name string) (*v1.Turn, error) {
	if turn := r.events.Unfinished(request.NamespaceValue(ctx), name); turn != nil {
		return turn, nil
	}
	obj, err := r.turns.Get(ctx, name, &metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return obj.(*v1.Turn), nil
}
