// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turn

import (
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"safebeam.dev/safebeam/apis/tightbeam/v1"
)

// The causes of a 409 on creation, beside the reason AlreadyExists.
const (
	// CauseSameContent: the turn that exists asks the same. Whoever sent the
	// request again has got what they wanted.
	CauseSameContent metav1.CauseType = "SameContent"
	// CauseOtherContent: the name was given to another turn.
	CauseOtherContent metav1.CauseType = "OtherContent"
)

// SameContent reports whether two turns, with their defaults, ask the same.
func SameContent(a, b *v1.TurnSpec) bool {
	return v1.Semantic.DeepEqual(a, b)
}

// alreadyExists tells the 409 of a repeated request from that of a name which
// is taken.
func alreadyExists(wanted, existing *v1.Turn) error {
	status := apierrors.NewAlreadyExists(v1.Resource("turns"), wanted.Name)
	cause := metav1.StatusCause{Type: CauseOtherContent, Field: "spec", Message: "it asks something else; a turn cannot change, choose another name"}
	if SameContent(&wanted.Spec, &existing.Spec) {
		cause.Type, cause.Message = CauseSameContent, "it asks the same, this request has been carried out before: read the turn or its log"
	}
	status.ErrStatus.Message += ": " + cause.Message
	status.ErrStatus.Details.UID = existing.UID
	status.ErrStatus.Details.Causes = []metav1.StatusCause{cause}
	return status
}
