// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

func TestWhoWaitsForASandboxIsToldWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	for phase, says := range map[v1.SandboxPhase]string{
		v1.SandboxPending:  "[waiting for the sandbox box, which is Pending, NotSupported: use standard]\n",
		v1.SandboxCreating: "[waiting for the sandbox box, which is Creating, NotSupported: use standard]\n",
		v1.SandboxRunning:  "",
	} {
		a := newAPI(t)
		a.sandboxes["box"] = &v1.Sandbox{
			ObjectMeta: metav1.ObjectMeta{Name: "box"},
			Status:     v1.SandboxStatus{Phase: phase, Reason: "NotSupported", Message: "use standard"},
		}
		a.events = []v1.ExecutionEvent{output("hello\n"), {Type: v1.ExecutionEventSucceeded}}
		code, out, errOut := a.user().calls(strings.NewReader(""), "run", "box", "--", "true")
		if code != 0 || out != "hello\n" || errOut != says {
			t.Errorf("%s: %d, %q, %q", phase, code, out, errOut)
		}
	}
}
