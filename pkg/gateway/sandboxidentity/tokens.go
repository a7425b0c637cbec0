// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxidentity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"safebeam.dev/safebeam/pkg/gateway/bindings"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
)

// Tokens knows the tokens of sandboxes that are processes of this machine. They
// die with this process, and so do the sandboxes that have them.
type Tokens struct {
	bindings Bindings
	over     func(bindings.Binding) bool
	// wait is pods.Patience unless a test sets another.
	wait time.Duration

	mu sync.Mutex
	// pods has them by hash, so that no lookup tells how much of a guess is right.
	pods map[[sha256.Size]byte]types.UID
}

var _ sandboxes.Authenticator = &Tokens{}

// NewTokens knows none. over is as in Pods.
func NewTokens(b Bindings, over func(bindings.Binding) bool) *Tokens {
	return &Tokens{bindings: b, over: over, pods: map[[sha256.Size]byte]types.UID{}}
}

// Issue makes a token for a pod, good until revoke is called.
func (t *Tokens) Issue(podUID types.UID) (token string, revoke func()) {
	token = rand.Text() + rand.Text()
	hash := sha256.Sum256([]byte(token))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pods[hash] = podUID
	return token, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.pods, hash)
	}
}

// Authenticate implements sandboxes.Authenticator.
func (t *Tokens) Authenticate(ctx context.Context, token string) (types.UID, error) {
	t.mu.Lock()
	uid, ok := t.pods[sha256.Sum256([]byte(token))]
	t.mu.Unlock()
	if !ok {
		return "", sandboxes.ErrUnauthenticated
	}
	return uid, bound(ctx, t.bindings, t.over, uid, t.wait)
}
