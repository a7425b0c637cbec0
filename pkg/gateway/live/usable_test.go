// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package live

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

func TestWhyASandboxCannotBeUsedIsSaidOnce(t *testing.T) {
	t.Parallel()
	const why = "securityLevel high is not offered here"
	missing := func(kind, message string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: metav1.ConditionFalse, Message: message}
	}
	err := usable(&v1.Sandbox{
		ObjectMeta: metav1.ObjectMeta{Name: "box"},
		Status: v1.SandboxStatus{Phase: v1.SandboxPending, Conditions: []metav1.Condition{
			missing(v1.SandboxWarmPodBound, "no pool"), missing(v1.SandboxPodCreated, why), missing(v1.SandboxReady, why),
		}},
	})
	if err == nil || !strings.HasSuffix(err.Error(), "the sandbox is Pending, not running yet: "+why) {
		t.Error(err)
	}
}
