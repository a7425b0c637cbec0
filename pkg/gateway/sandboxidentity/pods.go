// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxidentity

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"

	"safebeam.dev/safebeam/pkg/gateway/bindings"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
)

// Audience is that of the tokens of sandboxes: one of them is good for nothing
// else.
const Audience = "sandbox.gateway.safebeam.dev"

// bindingWait is how long a pod waits for its binding: the controller writes it
// as soon as it knows the pod's UID, so that it mostly is there before the
// container has started.
const bindingWait = 10 * time.Second

// Bindings say whose a pod is.
type Bindings interface {
	Await(ctx context.Context, podUID types.UID, wait time.Duration) (*bindings.Binding, error)
	Dropped(podUID types.UID) bool
}

var _ Bindings = &bindings.Store{}

// Pods knows the tokens of pods on a cluster.
type Pods struct {
	// Tokens asks the cluster who the bearer of a token is. It honours the
	// audiences of its context.
	Tokens   authenticator.Token
	Bindings Bindings
	// Over reports whether the owner of a pod is over, though the pod may not be
	// gone yet. It may be nil.
	Over func(bindings.Binding) bool
	// wait is bindingWait unless a test sets another.
	wait time.Duration
}

var _ sandboxes.Authenticator = &Pods{}

// Authenticate implements sandboxes.Authenticator.
func (p *Pods) Authenticate(ctx context.Context, token string) (types.UID, error) {
	uid, err := p.pod(ctx, token)
	if err != nil {
		return "", err
	}
	return uid, bound(ctx, p.Bindings, p.Over, uid, p.wait)
}

// pod returns the UID of the pod that a token for sandboxes is bound to.
func (p *Pods) pod(ctx context.Context, token string) (types.UID, error) {
	wanted := authenticator.Audiences{Audience}
	response, ok, err := p.Tokens.AuthenticateToken(authenticator.WithAudiences(ctx, wanted), token)
	if err != nil && (ctx.Err() != nil || isUnavailable(err)) {
		return "", err
	}
	// An audience that was not asked for would be that of a cluster whose
	// TokenReview does not know audiences.
	if err != nil || !ok || len(response.Audiences.Intersect(wanted)) == 0 {
		return "", sandboxes.ErrUnauthenticated
	}
	uids := response.User.GetExtra()[serviceaccount.PodUIDKey]
	if len(uids) != 1 || uids[0] == "" {
		return "", sandboxes.ErrUnauthenticated // bound to no pod
	}
	return types.UID(uids[0]), nil
}

// bound returns once the pod has an owner, unless that is over.
func bound(ctx context.Context, b Bindings, over func(bindings.Binding) bool, uid types.UID, wait time.Duration) error {
	if wait == 0 {
		wait = bindingWait
	}
	binding, err := b.Await(ctx, uid, wait)
	switch {
	case err != nil:
		return err
	case binding != nil && over != nil && over(*binding):
		return sandboxes.ErrGone
	case binding != nil:
		return nil
	case b.Dropped(uid):
		return sandboxes.ErrGone
	}
	return fmt.Errorf("the controller has not said whose pod %s is", uid)
}

// isUnavailable tells a cluster that cannot be asked from one that says no.
func isUnavailable(err error) bool {
	return errors.As(err, new(apierrors.APIStatus)) || errors.As(err, new(*url.Error)) || errors.Is(err, context.DeadlineExceeded)
}
