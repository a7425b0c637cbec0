// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package table

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
)

// OrNone shows a string, or that there is none.
func OrNone[S ~string](s S) string {
	if s == "" {
		return None
	}
	return string(s)
}

// Age is how long ago a time was.
func Age(now, then time.Time) string {
	if then.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(now.Sub(then))
}

// Ago is the Age of a time that may not have come.
func Ago(now time.Time, then *metav1.Time) string {
	if then.IsZero() {
		return None
	}
	return Age(now, then.Time)
}

// Left is how long a time is off; what has come shows as 0s.
func Left(now, then time.Time) string {
	return duration.HumanDuration(max(0, then.Sub(now)))
}

// OptionalNumber shows a number, or that there is none.
func OptionalNumber(n *int32) string {
	if n == nil {
		return None
	}
	return strconv.Itoa(int(*n))
}

// Elapsed is a duration to three places: 87ms, 3.21s, 4m5s.
func Elapsed(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(10 * time.Millisecond).String()
	}
	return duration.HumanDuration(d)
}

// Phase shows that an object is being deleted where its phase would hide it.
func Phase[S ~string](object runtime.Object, phase S) string {
	if !accessor(object).GetDeletionTimestamp().IsZero() {
		return "Terminating"
	}
	return OrNone(phase)
}

// Condition shows the status of a condition.
func Condition(conditions []metav1.Condition, kind string) string {
	if condition := apimeta.FindStatusCondition(conditions, kind); condition != nil {
		return string(condition.Status)
	}
	return string(metav1.ConditionUnknown)
}

// Reason shows why a condition does not hold.
func Reason(conditions []metav1.Condition, kind string) string {
	if condition := apimeta.FindStatusCondition(conditions, kind); condition != nil && condition.Status != metav1.ConditionTrue {
		return OrNone(condition.Reason)
	}
	return None
}

// Count shows a number to four places: 999, 12.3k, 4.56M.
func Count(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprint(n)
	case n < 999_500:
		return fmt.Sprintf("%.3gk", float64(n)/1000)
	}
	return fmt.Sprintf("%.3gM", float64(n)/1_000_000)
}

// Line shows the beginning of a text in one line of at most limit characters.
func Line(text string, limit int) string {
	runes := make([]rune, 0, limit)
	for _, r := range strings.Join(strings.Fields(text), " ") {
		if len(runes) == limit {
			runes[limit-1] = '…'
			break
		}
		if unicode.IsPrint(r) {
			runes = append(runes, r)
		}
	}
	return OrNone(string(runes))
}
