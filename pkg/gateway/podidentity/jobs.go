// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package podidentity

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway"
)

// The audiences of the gateway, one for each role: a token that is good for
// one of them is good for nothing else.
const (
	// AudienceLLMJob is the audience of the tokens of LLM jobs.
	AudienceLLMJob = "llm-job.gateway.safebeam.dev"
	// AudienceAgent is the audience of the tokens of agents.
	AudienceAgent = "agent.gateway.safebeam.dev"
)

// recordWait is how long a pod waits for its record: the controller writes it
// as soon as it sees the pod, so that it mostly is there before the container
// has started.
const recordWait = 10 * time.Second

// Jobs tells which job the bearer of a pod's token is.
type Jobs struct {
	// Tokens asks the cluster who the bearer of a token is. It honours the
	// audiences of its context.
	Tokens authenticator.Token
	// Records are the controller's.
	Records *Records
	// Model reads a model as it is now.
	Model func(ctx context.Context, namespace, name string) (*tightbeamv1.TightbeamModel, error)
	// wait is recordWait unless a test sets another.
	wait time.Duration
}

var _ gateway.Jobs = &Jobs{}

// AuthenticateJob implements gateway.Jobs.
func (j *Jobs) AuthenticateJob(ctx context.Context, token string) (*gateway.Identity, error) {
	uid, err := j.pod(ctx, token)
	if uid == "" || err != nil {
		return nil, err
	}
	wait := j.wait
	if wait == 0 {
		wait = recordWait
	}
	pod, err := j.Records.await(ctx, uid, wait)
	if err != nil {
		return nil, err
	}
	if pod == nil {
		return nil, fmt.Errorf("the controller has not said what the pod %s is there for", uid)
	}
	model, err := j.Model(ctx, pod.ModelNamespace, pod.Model)
	if apierrors.IsNotFound(err) || err == nil && model.UID != pod.ModelUID {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &gateway.Identity{Role: gateway.RoleLLMJob, Namespace: pod.ModelNamespace, Name: pod.Model, Job: pod.Job}, nil
}

// pod returns the UID of the pod that a token for LLM jobs is bound to, and ""
// if it is not one.
func (j *Jobs) pod(ctx context.Context, token string) (types.UID, error) {
	wanted := authenticator.Audiences{AudienceLLMJob}
	response, ok, err := j.Tokens.AuthenticateToken(authenticator.WithAudiences(ctx, wanted), token)
	if err != nil && (ctx.Err() != nil || isUnavailable(err)) {
		return "", err
	}
	// An audience that was not asked for would be that of a cluster whose
	// TokenReview does not know audiences.
	if err != nil || !ok || len(response.Audiences.Intersect(wanted)) == 0 {
		return "", nil
	}
	uids := response.User.GetExtra()[serviceaccount.PodUIDKey]
	if len(uids) != 1 || slices.Contains(uids, "") {
		return "", nil // bound to no pod
	}
	return types.UID(uids[0]), nil
}

// isUnavailable tells a cluster that cannot be asked from one that says no.
func isUnavailable(err error) bool {
	return errors.As(err, new(apierrors.APIStatus)) || errors.As(err, new(*url.Error)) || errors.Is(err, context.DeadlineExceeded)
}
