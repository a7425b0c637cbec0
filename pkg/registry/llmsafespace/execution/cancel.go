// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package execution

import (
	"k8s.io/apiserver/pkg/registry/rest"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/registry/generic"
)

// Canceller ends executions.
type Canceller = generic.Canceller[*v1.Execution]

// CancelREST serves executions/cancel.
type CancelREST = generic.CancelREST[v1.Execution, *v1.Execution]

func newCancelREST(executions rest.Getter, canceller Canceller) *CancelREST {
	return &CancelREST{
		Objects: executions, Canceller: canceller,
		Over: func(execution *v1.Execution) bool { return execution.Status.Phase.Terminal() },
	}
}
