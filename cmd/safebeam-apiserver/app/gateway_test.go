// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/client-go/rest"

	"safebeam.dev/safebeam/pkg/gateway/podidentity"
)

// cluster answers TokenReviews: a token is USER@AUDIENCE, good for that audience
// alone. It tells how many it was asked.
func cluster(t *testing.T) (config *rest.Config, asked chan string) {
	t.Helper()
	asked = make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review authenticationv1.TokenReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil || r.URL.Path != "/apis/authentication.k8s.io/v1/tokenreviews" {
			t.Errorf("%s: %v", r.URL, err)
		}
		asked <- review.Spec.Token
		user, audience, _ := strings.Cut(review.Spec.Token, "@")
		if slices.Contains(review.Spec.Audiences, audience) {
			review.Status = authenticationv1.TokenReviewStatus{
				Authenticated: true, Audiences: []string{audience}, User: authenticationv1.UserInfo{Username: user},
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(&review)
	}))
	t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL}, asked
}

func TestATokenIsGoodForItsAudienceAlone(t *testing.T) {
	t.Parallel()
	config, asked := cluster(t)
	client, err := reviews(config)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := reviewed(client)
	if err != nil {
		t.Fatal(err)
	}
	agents := forAudience(tokens, podidentity.AudienceAgent)
	for token, want := range map[string]bool{
		"ann@" + podidentity.AudienceAgent:   true,
		"ann@" + podidentity.AudienceLLMJob:  false,
		"ann@https://kubernetes.default.svc": false,
		"ann@":                               false,
		"":                                   false,
	} {
		for range 2 { // the second time it is remembered
			response, ok, err := agents.AuthenticateToken(t.Context(), token)
			if ok != want || ok && (err != nil || response.User.GetName() != "ann") {
				t.Errorf("%q: %+v, %v, %v", token, response, ok, err)
			}
		}
	}
	// What is remembered of a token for one audience says nothing of another.
	jobs := authenticator.WithAudiences(context.Background(), authenticator.Audiences{podidentity.AudienceLLMJob})
	if _, ok, _ := tokens.AuthenticateToken(jobs, "ann@"+podidentity.AudienceAgent); ok {
		t.Error("a token for agents is good for jobs")
	}
	if _, ok, _ := agents.AuthenticateToken(t.Context(), "ann@"+podidentity.AudienceLLMJob); ok {
		t.Error("a token for jobs is good for agents")
	}
	if len(asked) > 8 {
		t.Errorf("the cluster was asked %d times", len(asked))
	}
}

// By itself a client asks five times a second: some made-up tokens would keep
// everybody out who has a good one.
func TestReviewsDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	client, err := reviews(&rest.Config{Host: "https://cluster.invalid"})
	if err != nil {
		t.Fatal(err)
	}
	if qps := client.RESTClient().GetRateLimiter().QPS(); qps < 100 {
		t.Errorf("%v TokenReviews a second", qps)
	}
}
