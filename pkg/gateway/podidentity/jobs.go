// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package podidentity

import (
	"cmp"
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/authenticator"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway"
	"safebeam.dev/safebeam/pkg/gateway/pods"
)

// The audiences of the gateway, one for each role: a token that is good for
// one of them is good for nothing else.
const (
	// AudienceLLMJob is the audience of the tokens of LLM jobs.
	AudienceLLMJob = "llm-job.gateway.safebeam.dev"
	// AudienceAgent is the audience of the tokens of agents.
	AudienceAgent = "agent.gateway.safebeam.dev"
)

// Jobs tells which job the bearer of a pod's token is.
type Jobs struct {
	// Tokens asks the cluster who the bearer of a token is. It honours the
	// audiences of its context.
	Tokens authenticator.Token
	// Records are the controller's.
	Records *Records
	// Model reads a model as it is now.
	Model func(ctx context.Context, namespace, name string) (*tightbeamv1.TightbeamModel, error)
	// wait is pods.Patience unless a test sets another.
	wait time.Duration
}

var _ gateway.Jobs = &Jobs{}

// AuthenticateJob implements gateway.Jobs.
func (j *Jobs) AuthenticateJob(ctx context.Context, token string) (*gateway.Identity, error) {
	uid, err := pods.OfToken(ctx, j.Tokens, AudienceLLMJob, token)
	if uid == "" || err != nil {
		return nil, err
	}
	pod, err := j.Records.await(ctx, uid, cmp.Or(j.wait, pods.Patience))
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
