// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"context"
	"net/http"

	"safebeam.dev/safebeam/pkg/provider"
)

type responses struct{}

func newResponses(provider.Config, *http.Client) provider.Provider { return responses{} }

func (responses) Call(context.Context, *provider.Request, provider.Emit) (*provider.Result, error) {
	return nil, provider.Errorf(provider.InvalidRequest, "the Responses protocol is not built in yet")
}
