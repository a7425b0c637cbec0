// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/storage"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway/statuses"
)

// errEnded says that a turn has a terminal phase already.
var errEnded = errors.New("the turn has ended")

// tooLarge reports whether err says that an object does not fit into the store.
func tooLarge(err error) bool {
	return errors.Is(err, rpctypes.ErrRequestTooLarge) || apierrors.IsRequestEntityTooLargeError(err)
}

// newStore is of the turns that are stored below prefix.
func newStore(inner storage.Interface, prefix string) statuses.Store[*tightbeamv1.Turn] {
	return statuses.Store[*tightbeamv1.Turn]{
		Storage: inner, Prefix: prefix, Resource: "turn",
		New:     func() *tightbeamv1.Turn { return &tightbeamv1.Turn{} },
		NewList: func() runtime.Object { return &tightbeamv1.TurnList{} },
	}
}

// update changes the status of an unfinished turn. It fails with errEnded if the
// turn has a terminal phase, and with what statuses.Gone knows if it is gone.
func (b *Broker) update(ctx context.Context, known *tightbeamv1.Turn, change func(*tightbeamv1.TurnStatus)) (*tightbeamv1.Turn, error) {
	return b.store.Update(ctx, known, func(turn *tightbeamv1.Turn) error {
		if turn.Status.Phase.Terminal() {
			return errEnded
		}
		change(&turn.Status)
		return nil
	})
}

// conditions of the types that kubectl wait knows.
const (
	conditionComplete = "Complete"
	conditionFailed   = "Failed"

	reasonSucceeded  = "Succeeded"
	reasonCancelled  = "Cancelled"
	reasonRolledBack = "RolledBack"
)

func endCondition(turn *tightbeamv1.Turn) *metav1.Condition {
	for i := range turn.Status.Conditions {
		if c := &turn.Status.Conditions[i]; c.Status == metav1.ConditionTrue && (c.Type == conditionComplete || c.Type == conditionFailed) {
			return c
		}
	}
	return nil
}
