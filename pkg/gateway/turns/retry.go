// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"time"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

const (
	// maxBackoff bounds the doubling of spec.retry.backoffSeconds.
	maxBackoff = time.Minute
	// maxLost is how many attempts in a row may be lost with their jobs: a
	// turn that kills every job it meets ends, and does not take the model
	// down with it.
	maxLost = 5
)

// next is what follows a failed attempt: another one on model, not before a
// delay, or, with an empty model, the end of the turn.
type next struct {
	model string
	delay time.Duration
}

// afterFailure decides what follows an attempt that failed with class. visible
// says that a reader has seen some of its answer: then nothing follows, since
// an answer that was begun is not begun again. model is the failed attempt's
// own, primary the turn's first, whose fallbacks count; either may be nil when
// it was deleted. attempts are all of the turn's, the failed one last.
func afterFailure(class tightbeamv1.ErrorClass, retryAfter time.Duration, visible bool, attempts []tightbeamv1.TurnAttempt, model, primary *tightbeamv1.TightbeamModel) next {
	if visible || len(attempts) == 0 {
		return next{}
	}
	failed := attempts[len(attempts)-1]
	if class == tightbeamv1.ErrorJobLost {
		lost := 0
		for i := len(attempts) - 1; i >= 0 && attempts[i].Error != nil && attempts[i].Error.Class == tightbeamv1.ErrorJobLost; i-- {
			lost++
		}
		if lost < maxLost {
			return next{model: failed.Model}
		}
		return fallback(failed.Model, attempts, primary)
	}
	switch class {
	case tightbeamv1.ErrorInvalidRequest:
		// The request is wrong; no other model makes it right.
		return next{}
	case tightbeamv1.ErrorAuth, tightbeamv1.ErrorQuotaExhausted, tightbeamv1.ErrorContextTooLong:
		return fallback(failed.Model, attempts, primary)
	}
	limit, backoff := int32(3), time.Second
	if model != nil && model.Spec.Retry != nil {
		if n := model.Spec.Retry.MaxAttempts; n != nil {
			limit = *n
		}
		if n := model.Spec.Retry.BackoffSeconds; n != nil {
			backoff = time.Duration(*n) * time.Second
		}
	}
	tried := int32(0)
	for _, a := range attempts {
		if a.Model == failed.Model && (a.Error == nil || a.Error.Class != tightbeamv1.ErrorJobLost) {
			tried++
		}
	}
	if model == nil || tried >= limit {
		return fallback(failed.Model, attempts, primary)
	}
	for range tried - 1 {
		backoff = min(2*backoff, maxBackoff)
	}
	return next{model: failed.Model, delay: max(backoff, retryAfter)}
}

// fallback returns the first of primary's fallbacks that no attempt ran on.
func fallback(failed string, attempts []tightbeamv1.TurnAttempt, primary *tightbeamv1.TightbeamModel) next {
	if primary == nil {
		return next{}
	}
	tried := map[string]bool{failed: true}
	for _, a := range attempts {
		tried[a.Model] = true
	}
	for _, f := range primary.Spec.Fallbacks {
		if !tried[f.Name] {
			return next{model: f.Name}
		}
	}
	return next{}
}
