// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package podstest has a cluster for the tests of who a pod's token speaks for.
package podstest

import (
	"context"
	"errors"
	"net/url"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
)

// Cluster answers TokenReviews of tokens for one audience. A token is the UID of its
// pod, but for "away", which finds no cluster, "bad", which is none, "unbound",
// which is of no pod, and "twice", which is of two.
func Cluster(audience string) authenticator.Token {
	return authenticator.TokenFunc(func(ctx context.Context, token string) (*authenticator.Response, bool, error) {
		switch token {
		case "away":
			return nil, false, &url.Error{Op: "Post", URL: "https://cluster", Err: errors.New("connection refused")}
		case "bad":
			return nil, false, errors.New("invalid bearer token")
		}
		asked, _ := authenticator.AudiencesFrom(ctx)
		audiences := asked.Intersect(authenticator.Audiences{audience})
		if len(audiences) == 0 {
			return nil, false, nil
		}
		info := &user.DefaultInfo{Name: "system:serviceaccount:ns:default", Extra: map[string][]string{}}
		switch token {
		case "unbound":
		case "twice":
			info.Extra[serviceaccount.PodUIDKey] = []string{"bound", "other"}
		default:
			info.Extra[serviceaccount.PodUIDKey] = []string{token}
		}
		return &authenticator.Response{User: info, Audiences: audiences}, true, nil
	})
}
