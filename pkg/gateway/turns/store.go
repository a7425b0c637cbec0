// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/storage"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// errEnded says that a turn has a terminal phase already.
var errEnded = errors.New("the turn has ended")

// tooLarge reports whether err says that an object does not fit into the store.
func tooLarge(err error) bool {
	return errors.Is(err, rpctypes.ErrRequestTooLarge) || apierrors.IsRequestEntityTooLargeError(err)
}

// store reads and writes turn objects below the registry: what the broker
// writes is the status that no client may.
type store struct {
	storage storage.Interface
	prefix  string
}

func (s store) key(namespace, name string) string {
	return s.prefix + "/" + namespace + "/" + name
}

// get reads the turn from the store, not from the watch cache. Nil: there is
// none.
func (s store) get(ctx context.Context, namespace, name string) (*tightbeamv1.Turn, error) {
	turn := &tightbeamv1.Turn{}
	err := s.storage.Get(ctx, s.key(namespace, name), storage.GetOptions{}, turn)
	if storage.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading turn %s/%s: %w", namespace, name, err)
	}
	return turn, nil
}

// update changes the status of an unfinished turn by compare-and-swap, from
// the hint if that is still current. It fails with errEnded if the turn has a
// terminal phase, with a NotFound storage error if it, by its UID, is gone.
func (s store) update(ctx context.Context, hint *tightbeamv1.Turn, change func(*tightbeamv1.TurnStatus)) (*tightbeamv1.Turn, error) {
	out := &tightbeamv1.Turn{}
	uid := hint.UID
	err := s.storage.GuaranteedUpdate(ctx, s.key(hint.Namespace, hint.Name), out, false,
		&storage.Preconditions{UID: &uid},
		func(input runtime.Object, _ storage.ResponseMeta) (runtime.Object, *uint64, error) {
			turn := input.(*tightbeamv1.Turn)
			if turn.Status.Phase.Terminal() {
				return nil, nil, errEnded
			}
			change(&turn.Status)
			return turn, nil, nil
		}, hint.DeepCopy())
	if err != nil {
		return nil, err
	}
	return out, nil
}

// gone reports whether err says that the turn is no more: deleted, or replaced
// by another of the same name.
func gone(err error) bool {
	return storage.IsNotFound(err) || storage.IsInvalidObj(err)
}

// unfinished lists the turns without a terminal phase, and those among the
// finished whose UID is in also.
func (s store) unfinished(ctx context.Context, also map[types.UID]bool) ([]*tightbeamv1.Turn, error) {
	const page = 500
	var turns []*tightbeamv1.Turn
	options := storage.ListOptions{Predicate: storage.Everything, Recursive: true}
	options.Predicate.Limit = page
	for {
		list := &tightbeamv1.TurnList{}
		if err := s.storage.GetList(ctx, s.prefix+"/", options, list); err != nil {
			return nil, fmt.Errorf("listing turns: %w", err)
		}
		for i := range list.Items {
			if turn := &list.Items[i]; !turn.Status.Phase.Terminal() || also[turn.UID] {
				turns = append(turns, turn)
			}
		}
		if list.Continue == "" {
			return turns, nil
		}
		options.Predicate.Continue = list.Continue
	}
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
