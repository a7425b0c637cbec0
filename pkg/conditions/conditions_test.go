// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package conditions

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestALongMessageIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"a", "ä", "ab€", "x😀"} {
		message := strings.Repeat(word, maxMessage+1)
		got := Message(message)
		text, cut := strings.CutSuffix(got, "…")
		if !cut || len(got) > maxMessage || len(got) < maxMessage-utf8.UTFMax || !utf8.ValidString(got) || !strings.HasPrefix(message, text) {
			t.Errorf("%q: %d bytes, ending in %q", word, len(got), got[len(got)-8:])
		}
	}
	for _, whole := range []string{"", "short", strings.Repeat("a", maxMessage)} {
		if got := Message(whole); got != whole {
			t.Errorf("%q became %q", whole, got)
		}
	}
}

func TestWhatIsReadAgainIsWhatWasWritten(t *testing.T) {
	t.Parallel()
	var conditions []metav1.Condition
	now := time.Date(2026, 11, 22, 6, 0, 0, 123456789, time.UTC)
	Set(&conditions, "Ready", metav1.ConditionFalse, "Refused", strings.Repeat("a", 2*maxMessage), now)
	if len(conditions) != 1 {
		t.Fatalf("%+v", conditions)
	}
	c := conditions[0]
	if c.Type != "Ready" || c.Status != metav1.ConditionFalse || c.Reason != "Refused" || len(c.Message) != maxMessage || !c.LastTransitionTime.Time.Equal(now.Truncate(time.Second)) {
		t.Errorf("%+v", c)
	}
	written, err := c.LastTransitionTime.MarshalJSON()
	var read metav1.Time
	if err != nil || read.UnmarshalJSON(written) != nil || !read.Equal(&c.LastTransitionTime) {
		t.Errorf("%v became %v: %v", c.LastTransitionTime, read, err)
	}
}
