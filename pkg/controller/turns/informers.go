// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package turns has the informers on turns that controllers share. Finished
// turns outnumber unfinished ones by far, so each kind has an informer of its
// own, and both drop what no controller reads: what was said.
package turns

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/tools/cache"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	informers "safebeam.dev/safebeam/pkg/generated/informers/externalversions/tightbeam/v1"
)

// The indexes of the informer on unfinished turns. Their values are
// namespace/name.
const (
	// ByModel indexes turns by the model of their current or next attempt.
	ByModel = "model"
	// ByConversation indexes turns by the conversation they belong to.
	ByConversation = "conversation"
)

var (
	unfinished = fields.AndSelectors(
		fields.OneTermNotEqualSelector("status.phase", string(tightbeamv1.TurnSucceeded)),
		fields.OneTermNotEqualSelector("status.phase", string(tightbeamv1.TurnFailed)),
		fields.OneTermNotEqualSelector("status.phase", string(tightbeamv1.TurnCancelled)),
	).String()
	// A turn has no phase for a moment only if something other than our
	// server stores it; such a turn is not finished.
	finished = fields.AndSelectors(
		fields.OneTermNotEqualSelector("status.phase", ""),
		fields.OneTermNotEqualSelector("status.phase", string(tightbeamv1.TurnQueued)),
		fields.OneTermNotEqualSelector("status.phase", string(tightbeamv1.TurnRunning)),
	).String()
)

// NewUnfinishedInformer watches the turns that have not ended, of all
// namespaces.
func NewUnfinishedInformer(client versioned.Interface) cache.SharedIndexInformer {
	return newInformer(client, unfinished, cache.Indexers{
		ByModel: func(obj any) ([]string, error) {
			turn := obj.(*tightbeamv1.Turn)
			return []string{Model(turn).String()}, nil
		},
		ByConversation: func(obj any) ([]string, error) {
			turn := obj.(*tightbeamv1.Turn)
			return []string{Conversation(turn).String()}, nil
		},
	})
}

// NewFinishedInformer watches the turns that have ended, of all namespaces.
func NewFinishedInformer(client versioned.Interface) cache.SharedIndexInformer {
	return newInformer(client, finished, cache.Indexers{})
}

func newInformer(client versioned.Interface, selector string, indexers cache.Indexers) cache.SharedIndexInformer {
	informer := informers.NewFilteredTurnInformer(client, metav1.NamespaceAll, 0, indexers, func(options *metav1.ListOptions) {
		options.FieldSelector = selector
	})
	// It fails only on an informer that runs already.
	if err := informer.SetTransform(strip); err != nil {
		panic(err)
	}
	return informer
}

// strip drops what controllers do not read. It is idempotent, as informers
// ask of a transform.
func strip(obj any) (any, error) {
	turn, ok := obj.(*tightbeamv1.Turn)
	if !ok {
		return obj, nil // a tombstone
	}
	turn.ManagedFields = nil
	turn.Annotations = nil
	turn.Labels = nil
	turn.Spec = tightbeamv1.TurnSpec{
		Conversation:            turn.Spec.Conversation,
		TTLSecondsAfterFinished: turn.Spec.TTLSecondsAfterFinished,
	}
	status := tightbeamv1.TurnStatus{
		Phase:          turn.Status.Phase,
		Position:       turn.Status.Position,
		Model:          turn.Status.Model,
		NotBefore:      turn.Status.NotBefore,
		CompletionTime: turn.Status.CompletionTime,
	}
	// Of the attempts, only which job runs the current one.
	if n := len(turn.Status.Attempts); n > 0 && turn.Status.Phase == tightbeamv1.TurnRunning {
		last := turn.Status.Attempts[n-1]
		status.Attempts = []tightbeamv1.TurnAttempt{{Model: last.Model, Job: last.Job, StartTime: last.StartTime}}
	}
	turn.Status = status
	return turn, nil
}

// Model is the model of the turn's current or next attempt.
func Model(turn *tightbeamv1.Turn) cache.ObjectName {
	return cache.ObjectName{Namespace: turn.Namespace, Name: turn.Status.Model}
}

// Conversation is the one that the turn belongs to.
func Conversation(turn *tightbeamv1.Turn) cache.ObjectName {
	return cache.ObjectName{Namespace: turn.Namespace, Name: turn.Spec.Conversation}
}

// Indexed returns the turns of one index value, in the order of their
// positions.
func Indexed(indexer cache.Indexer, index string, value cache.ObjectName) ([]*tightbeamv1.Turn, error) {
	objects, err := indexer.ByIndex(index, value.String())
	if err != nil {
		return nil, err
	}
	turns := make([]*tightbeamv1.Turn, 0, len(objects))
	for _, obj := range objects {
		turns = append(turns, obj.(*tightbeamv1.Turn))
	}
	slices.SortFunc(turns, func(a, b *tightbeamv1.Turn) int { return int(a.Status.Position - b.Status.Position) })
	return turns, nil
}
