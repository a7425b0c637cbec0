// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxidentity

import (
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"safebeam.dev/safebeam/pkg/gateway/bindings"
	"safebeam.dev/safebeam/pkg/gateway/pods/podstest"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
)

// records are bindings by pod; a pod that is "dropped" was dropped, and "late" is
// bound while it is waited for.
type records struct{ late chan struct{} }

func (r records) Await(ctx context.Context, pod types.UID, wait time.Duration) (*bindings.Binding, error) {
	owner := bindings.Owner{Kind: bindings.Sandbox, Namespace: "ns", Name: string(pod), UID: "sandbox of " + pod}
	switch pod {
	case "bound", "over":
		return &bindings.Binding{PodUID: pod, Owner: owner}, nil
	case "late":
		select {
		case <-r.late:
			return &bindings.Binding{PodUID: pod, Owner: owner}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
	return nil, nil
}

func (records) Dropped(pod types.UID) bool { return pod == "dropped" }

func over(b bindings.Binding) bool { return b.PodUID == "over" }

func TestATokenOfAPodOpensThatPodAlone(t *testing.T) {
	t.Parallel()
	for token, want := range map[string]error{
		"bound":   nil,
		"unbound": sandboxes.ErrUnauthenticated,
		"twice":   sandboxes.ErrUnauthenticated,
		"bad":     sandboxes.ErrUnauthenticated,
		"dropped": sandboxes.ErrGone,
		"over":    sandboxes.ErrGone,
	} {
		p := &Pods{Tokens: podstest.Cluster(Audience), Bindings: records{}, Over: over, wait: time.Millisecond}
		uid, err := p.Authenticate(t.Context(), token)
		if !errors.Is(err, want) || want == nil && (err != nil || uid != types.UID(token)) {
			t.Errorf("%s: %q, %v", token, uid, err)
		}
	}
}

func TestATokenOfAnotherAudienceIsNoSandboxs(t *testing.T) {
	t.Parallel()
	for _, audience := range []string{"llm-job.gateway.safebeam.dev", "https://kubernetes.default.svc", ""} {
		p := &Pods{Tokens: podstest.Cluster(audience), Bindings: records{}}
		if uid, err := p.Authenticate(t.Context(), "bound"); !errors.Is(err, sandboxes.ErrUnauthenticated) {
			t.Errorf("audience %q: %q, %v", audience, uid, err)
		}
	}
}

func TestWhatCannotBeToldNowIsTriedAgain(t *testing.T) {
	t.Parallel()
	p := &Pods{Tokens: podstest.Cluster(Audience), Bindings: records{}, wait: time.Millisecond}
	for _, token := range []string{"away", "unknown"} {
		_, err := p.Authenticate(t.Context(), token)
		if err == nil || errors.Is(err, sandboxes.ErrUnauthenticated) || errors.Is(err, sandboxes.ErrGone) {
			t.Errorf("%s: %v", token, err)
		}
	}
}

func TestAPodThatComesBeforeItsBindingWaits(t *testing.T) {
	t.Parallel()
	r := records{late: make(chan struct{})}
	p := &Pods{Tokens: podstest.Cluster(Audience), Bindings: r}
	done := make(chan error)
	go func() {
		_, err := p.Authenticate(context.Background(), "late")
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("did not wait: %v", err)
	case <-time.After(10 * time.Millisecond):
	}
	close(r.late)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestLocalTokensAreGoodUntilRevoked(t *testing.T) {
	t.Parallel()
	tokens := NewTokens(records{}, over)
	token, revoke := tokens.Issue("bound")
	other, _ := tokens.Issue("over")
	if uid, err := tokens.Authenticate(t.Context(), token); err != nil || uid != "bound" {
		t.Errorf("%q, %v", uid, err)
	}
	if _, err := tokens.Authenticate(t.Context(), other); !errors.Is(err, sandboxes.ErrGone) {
		t.Error(err)
	}
	if _, err := tokens.Authenticate(t.Context(), token+"x"); !errors.Is(err, sandboxes.ErrUnauthenticated) {
		t.Error(err)
	}
	revoke()
	if _, err := tokens.Authenticate(t.Context(), token); !errors.Is(err, sandboxes.ErrUnauthenticated) {
		t.Error(err)
	}
}
