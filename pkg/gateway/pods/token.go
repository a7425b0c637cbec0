// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package pods

import (
	"context"
	"errors"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
)

// Patience is how long a pod waits until the controller has said whose it is. The
// controller does as soon as it knows the pod, so that it mostly has before the
// container has started.
const Patience = 10 * time.Second

// OfToken returns the UID of the pod that a token for the audience is bound to, and
// "" if it is no such token. tokens asks the cluster who the bearer is; it honours
// the audiences of its context. An error says that the cluster could not be asked.
func OfToken(ctx context.Context, tokens authenticator.Token, audience, token string) (types.UID, error) {
	wanted := authenticator.Audiences{audience}
	response, ok, err := tokens.AuthenticateToken(authenticator.WithAudiences(ctx, wanted), token)
	if err != nil && (ctx.Err() != nil || isUnavailable(err)) {
		return "", err
	}
	// An audience that was not asked for would be that of a cluster whose
	// TokenReview does not know audiences.
	if err != nil || !ok || len(response.Audiences.Intersect(wanted)) == 0 {
		return "", nil
	}
	uids := response.User.GetExtra()[serviceaccount.PodUIDKey]
	if len(uids) != 1 {
		return "", nil // bound to no pod
	}
	return types.UID(uids[0]), nil
}

// isUnavailable tells a cluster that cannot be asked from one that says no.
func isUnavailable(err error) bool {
	return errors.As(err, new(apierrors.APIStatus)) || errors.As(err, new(*url.Error)) || errors.Is(err, context.DeadlineExceeded)
}
