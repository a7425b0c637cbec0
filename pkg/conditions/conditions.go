// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package conditions is how controllers and the gateway put into an object what
// others said of it.
//
// Laws:
//   - What others said, such as the last word of a pod or the refusal of a
//     cluster, is bounded before it gets there.
//   - Times are whole seconds, as the API keeps them: what is read again is what
//     was written.
package conditions

import (
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxMessage is in bytes.
const maxMessage = 1024

// Set sets the condition of that type.
func Set(conditions *[]metav1.Condition, kind string, status metav1.ConditionStatus, reason, message string, now time.Time) {
	meta.SetStatusCondition(conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: Message(message), LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
	})
}

// Message is the beginning of a long message, cut between two characters.
func Message(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	const ellipsis = "…"
	cut := maxMessage - len(ellipsis)
	for cut > 0 && !utf8.RuneStart(message[cut]) {
		cut--
	}
	return message[:cut] + ellipsis
}
