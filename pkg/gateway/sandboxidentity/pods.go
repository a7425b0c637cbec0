// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxidentity

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/authenticator"

	"safebeam.dev/safebeam/pkg/gateway/bindings"
	"safebeam.dev/safebeam/pkg/gateway/pods"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
)

// Audience is that of the tokens of sandboxes: one of them is good for nothing
// else.
const Audience = "sandbox.gateway.safebeam.dev"

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
	// wait is pods.Patience unless a test sets another.
	wait time.Duration
}

var _ sandboxes.Authenticator = &Pods{}

// Authenticate implements sandboxes.Authenticator.
func (p *Pods) Authenticate(ctx context.Context, token string) (types.UID, error) {
	uid, err := pods.OfToken(ctx, p.Tokens, Audience, token)
	if err != nil {
		return "", err
	}
	if uid == "" {
		return "", sandboxes.ErrUnauthenticated
	}
	return uid, bound(ctx, p.Bindings, p.Over, uid, p.wait)
}

// bound returns once the pod has an owner, unless that is over.
func bound(ctx context.Context, b Bindings, over func(bindings.Binding) bool, uid types.UID, wait time.Duration) error {
	binding, err := b.Await(ctx, uid, cmp.Or(wait, pods.Patience))
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
