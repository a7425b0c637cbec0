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

func TestNobodyWaitsForASandboxThatDoesNotRun(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		comesTo v1.SandboxPhase
		says    string
	}{
		"it takes too long":   {v1.SandboxCreating, `sandbox "box" does not run after 1s: Creating, NotSupported: as it was told to`},
		"it fails to be made": {v1.SandboxFailed, `sandbox "box" did not come to run: Failed, NotSupported: as it was told to`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t)
			a.sandboxes["box"] = &v1.Sandbox{
				ObjectMeta: metav1.ObjectMeta{Name: "box", UID: "uid-of-box", ResourceVersion: "1"},
				Status:     v1.SandboxStatus{Phase: v1.SandboxPending, Reason: "NotSupported", Message: "use standard"},
			}
			a.phase = test.comesTo
			code, out, errOut := a.user().calls(strings.NewReader(""), "run", "box", "--running-timeout", "1s", "--", "true")
			if code != -1 || out != "" || !strings.Contains(errOut, test.says) {
				t.Errorf("%d, %q, %q; want an error that says %q", code, out, errOut, test.says)
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			if len(a.cancelled) != 1 || len(a.deleted) != 0 {
				t.Errorf("cancelled %v, deleted %v: what shall not run any more is left, or somebody else's sandbox is gone", a.cancelled, a.deleted)
			}
		})
	}
}
