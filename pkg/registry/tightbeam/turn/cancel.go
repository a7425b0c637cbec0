// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turn

import (
	"k8s.io/apiserver/pkg/registry/rest"

	"safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/registry/generic"
)

// Canceller ends turns.
type Canceller = generic.Canceller[*v1.Turn]

// CancelREST serves turns/cancel.
type CancelREST = generic.CancelREST[v1.Turn, *v1.Turn]

func newCancelREST(turns rest.Getter, canceller Canceller) *CancelREST {
	return &CancelREST{
		Objects: turns, Canceller: canceller,
		Over: func(turn *v1.Turn) bool { return turn.Status.Phase.Terminal() },
	}
}
