// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package llmjob

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/conditions"
	"safebeam.dev/safebeam/pkg/launcher"
)

const (
	conditionReady = "Ready"
	// reasonAvailable: nothing is known that would keep jobs from running.
	reasonAvailable = "Available"
)

// ready is the condition Ready of a model. It says nothing of whether a job
// runs at the moment, so it does not change as jobs come and go.
func ready(generation int64, refusal *launcher.Refusal, h history, jobs []launcher.Job, holders map[string]int, now time.Time) metav1.Condition {
	condition := metav1.Condition{
		Type:               conditionReady,
		ObservedGeneration: generation,
		Status:             metav1.ConditionTrue,
		Reason:             reasonAvailable,
		Message:            "jobs are launched as turns need them",
	}
	switch {
	case refusal != nil:
		condition.Status = metav1.ConditionFalse
		condition.Reason = refusal.Reason
		condition.Message = conditions.Message(refusal.Message)
	case h.failures > 0 && !works(h, jobs, holders, now):
		condition.Status = metav1.ConditionFalse
		condition.Reason = h.last.Reason
		condition.Message = conditions.Message(h.last.Message)
	}
	return condition
}

// works reports whether some job of the present hash is known to work, though
// another one failed.
func works(h history, jobs []launcher.Job, holders map[string]int, now time.Time) bool {
	for _, job := range jobs {
		if job.Spec.Hash() == h.cause.hash && job.Live() && proven(job, holders, now) {
			return true
		}
	}
	return false
}

// writeCondition stores the condition, and the generation it is about, if they
// differ from what the informer has. The patch names the UID, so that a model
// made anew under the name does not get the old one's condition.
func (c *Controller) writeCondition(ctx context.Context, model *tightbeamv1.TightbeamModel, condition metav1.Condition) error {
	conditions := append([]metav1.Condition(nil), model.Status.Conditions...)
	condition.LastTransitionTime = metav1.NewTime(c.clock.Now().Truncate(time.Second))
	changed := meta.SetStatusCondition(&conditions, condition)
	if !changed && model.Status.ObservedGeneration == model.Generation {
		return nil
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": model.UID},
		"status": map[string]any{
			"observedGeneration": model.Generation,
			// Merged by type: conditions of others stay.
			"conditions": []metav1.Condition{*meta.FindStatusCondition(conditions, conditionReady)},
		},
	})
	if err != nil {
		return err
	}
	updated, err := c.client.TightbeamV1().TightbeamModels(model.Namespace).Patch(ctx, model.Name,
		types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager}, "status")
	if err != nil {
		return fmt.Errorf("writing condition %s of model %s/%s: %w", conditionReady, model.Namespace, model.Name, err)
	}
	c.written.Mutation(updated)
	return nil
}
