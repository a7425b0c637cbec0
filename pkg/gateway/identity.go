// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
)

// The roles of jobs: those that pull turns, and those that bridge a platform.
const (
	RoleLLMJob  = "llm-job"
	RoleChannel = "channel"
)

// Identity says what the bearer of a job's token is.
type Identity struct {
	Role      string
	Namespace string
	// Name of the object that it serves: the TightbeamModel or the
	// TightbeamChannel.
	Name string
	// Job is the name of the job.
	Job string
}

// Jobs tells which job a token is of. Nil: of none.
type Jobs interface {
	AuthenticateJob(ctx context.Context, token string) (*Identity, error)
}

// Tokens are the random tokens of the processes that we start ourselves, kept
// as their hashes. They are valid on the gateway only.
type Tokens struct {
	mu     sync.RWMutex
	byHash map[[sha256.Size]byte]Identity
}

// NewTokens returns an empty set.
func NewTokens() *Tokens {
	return &Tokens{byHash: map[[sha256.Size]byte]Identity{}}
}

// Issue makes a token that stands for identity until revoke is called.
func (t *Tokens) Issue(identity Identity) (token string, revoke func()) {
	var random [32]byte
	if _, err := rand.Read(random[:]); err != nil {
		panic(err) // never: crypto/rand ends the process itself
	}
	token = base64.RawURLEncoding.EncodeToString(random[:])
	return token, t.Restore(identity, token)
}

// Restore lets a token stand for identity that an earlier process issued.
func (t *Tokens) Restore(identity Identity, token string) (revoke func()) {
	hash := sha256.Sum256([]byte(token))
	t.mu.Lock()
	t.byHash[hash] = identity
	t.mu.Unlock()
	return func() {
		t.mu.Lock()
		delete(t.byHash, hash)
		t.mu.Unlock()
	}
}

// AuthenticateJob implements Jobs.
func (t *Tokens) AuthenticateJob(_ context.Context, token string) (*Identity, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	identity, ok := t.byHash[sha256.Sum256([]byte(token))]
	if !ok {
		return nil, nil
	}
	return &identity, nil
}

// caller is who makes a call: a job, or a user of the API.
type caller struct {
	job  *Identity
	user user.Info
	// insecure: everybody is this caller, whatever they are.
	insecure bool
	// stopping ends when the server stops.
	stopping context.Context
}

// authenticate finds out who calls. fixed is the identity of everybody on a
// listener without tokens.
type callers struct {
	jobs  Jobs
	users authenticator.Token
	fixed *caller
	// stopping is every caller's.
	stopping context.Context
}

var errNoToken = status.Error(codes.Unauthenticated, `a bearer token is needed: send the metadata "authorization: Bearer TOKEN"`)

func (c callers) authenticate(ctx context.Context) (*caller, error) {
	who, err := c.identify(ctx)
	if err != nil {
		return nil, err
	}
	who.stopping = c.stopping
	return who, nil
}

func (c callers) identify(ctx context.Context) (*caller, error) {
	if c.fixed != nil {
		who := *c.fixed
		return &who, nil
	}
	token := bearer(ctx)
	if token == "" {
		return nil, errNoToken
	}
	if c.jobs != nil {
		job, err := c.jobs.AuthenticateJob(ctx, token)
		if err != nil {
			return nil, status.Errorf(codes.Unavailable, "the token cannot be checked now: %v", err)
		}
		if job != nil {
			return &caller{job: job}, nil
		}
	}
	if c.users != nil {
		response, ok, err := c.users.AuthenticateToken(ctx, token)
		if err != nil && !errors.Is(err, context.Canceled) {
			return nil, status.Error(codes.Unauthenticated, "the token is not valid here")
		}
		if ok {
			return &caller{user: response.User}, nil
		}
	}
	return nil, status.Error(codes.Unauthenticated, "the token is not valid here")
}

func bearer(ctx context.Context) string {
	md, _ := metadata.FromIncomingContext(ctx)
	for _, value := range md.Get("authorization") {
		if scheme, token, ok := strings.Cut(value, " "); ok && strings.EqualFold(scheme, "bearer") {
			return strings.TrimSpace(token)
		}
	}
	return ""
}

// llmJob returns the identity of a caller that must be an LLM job.
func (c *caller) llmJob() (*Identity, error) {
	if c.job == nil || c.job.Role != RoleLLMJob {
		return nil, status.Error(codes.PermissionDenied, "only LLM jobs may pull and answer turns")
	}
	return c.job, nil
}

// channelJob returns the identity of a caller that must be a channel's job. On
// a listener without tokens the request says which channel.
func (c *caller) channelJob() (*Identity, error) {
	switch {
	case c.job != nil && c.job.Role == RoleChannel:
		return c.job, nil
	case c.insecure && c.job != nil:
		return &Identity{Role: RoleChannel, Namespace: c.job.Namespace}, nil
	}
	return nil, status.Error(codes.PermissionDenied, "only the jobs of channels may bridge a platform")
}

// serviceAccountNamespace returns the namespace of a ServiceAccount's name.
func serviceAccountNamespace(u user.Info) string {
	rest, ok := strings.CutPrefix(u.GetName(), "system:serviceaccount:")
	if !ok {
		return ""
	}
	namespace, _, _ := strings.Cut(rest, ":")
	return namespace
}
