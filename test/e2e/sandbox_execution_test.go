// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/test/sandboxes"
)

func TestExecutionsEndAsTheyShould(t *testing.T) {
	t.Parallel()
	_, user := sandboxServer(t)
	user.Running(t, "box")
	type want struct {
		phase          v1.ExecutionPhase
		code           *int32
		signal         string
		stdout, stderr string
	}
	for name, tc := range map[string]struct {
		spec v1.ExecutionSpec
		want want
	}{
		"code":       {v1.ExecutionSpec{Code: "print(6 * 7)"}, want{v1.ExecutionSucceeded, ptr.To[int32](0), "", "42\n", ""}},
		"quotes":     {v1.ExecutionSpec{Code: "print('''\"$(id)\" EOF'''); print(\"it's\")"}, want{v1.ExecutionSucceeded, ptr.To[int32](0), "", "\"$(id)\" EOF\nit's\n", ""}},
		"command":    {v1.ExecutionSpec{Command: []string{"sh", "-c", "echo out; echo err >&2; exit 3"}}, want{v1.ExecutionFailed, ptr.To[int32](3), "", "out\n", "err\n"}},
		"stdin":      {v1.ExecutionSpec{Code: "print(input().upper())", Stdin: "shout\n"}, want{v1.ExecutionSucceeded, ptr.To[int32](0), "", "SHOUT\n", ""}},
		"env":        {v1.ExecutionSpec{Command: []string{"sh", "-c", "echo $A"}, Env: []v1.EnvVar{{Name: "A", Value: "b c"}}}, want{v1.ExecutionSucceeded, ptr.To[int32](0), "", "b c\n", ""}},
		"workingdir": {v1.ExecutionSpec{Command: []string{"pwd"}, WorkingDir: "/tmp"}, want{v1.ExecutionSucceeded, ptr.To[int32](0), "", "/tmp\n", ""}},
		"timeout":    {v1.ExecutionSpec{Command: []string{"sh", "-c", "echo begun; sleep 1000 & sleep 1000"}, TimeoutSeconds: ptr.To[int32](1)}, want{v1.ExecutionTimedOut, ptr.To[int32](124), "SIGKILL", "begun\n", ""}},
		"signal":     {v1.ExecutionSpec{Command: []string{"sh", "-c", "kill -SEGV $$"}}, want{v1.ExecutionFailed, ptr.To[int32](139), "SIGSEGV", "", ""}},
		"bash":       {v1.ExecutionSpec{Code: "echo $((6 * 7))", Language: "bash"}, want{v1.ExecutionSucceeded, ptr.To[int32](0), "", "42\n", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.spec.Sandbox = "box"
			status := user.Run(t, name, tc.spec).Status
			got := want{status.Phase, status.ExitCode, status.Signal, sandboxes.Text(status.Stdout), sandboxes.Text(status.Stderr)}
			if got.phase == v1.ExecutionTimedOut {
				got.signal = tc.want.signal // how the group was ended is not said of a timeout
			}
			if ptr.Deref(got.code, -1) != ptr.Deref(tc.want.code, -1) || got.phase != tc.want.phase || got.signal != tc.want.signal || got.stdout != tc.want.stdout || got.stderr != tc.want.stderr {
				t.Errorf("%+v, %s: %s", got, status.Reason, status.Message)
			}
		})
	}
}

func TestAnExecutionThatDoesNotExistInASandboxFailsAndSaysWhy(t *testing.T) {
	t.Parallel()
	_, user := sandboxServer(t)
	user.Running(t, "box")
	status := user.Run(t, "missing", v1.ExecutionSpec{Sandbox: "box", Command: []string{"/no/such/program"}}).Status
	if status.Phase != v1.ExecutionFailed || status.Message == "" {
		t.Errorf("%+v", status)
	}
}

func TestAnExecutionIsCancelled(t *testing.T) {
	t.Parallel()
	_, user := sandboxServer(t)
	user.Running(t, "box")
	user.Start(t, "long", v1.ExecutionSpec{Sandbox: "box", Command: []string{"sh", "-c", "echo $$ > /workspace/pid; sleep 1000"}, TimeoutSeconds: ptr.To[int32](3600)})
	for deadline := time.Now().Add(20 * time.Second); user.Sh(t, "box", "cat /workspace/pid").Stdout == ""; {
		if time.Now().After(deadline) {
			t.Fatal("it does not begin")
		}
	}
	for range 2 {
		if err := user.Client.LlmsafespaceV1().RESTClient().Post().Namespace(user.Namespace).Resource("executions").Name("long").SubResource("cancel").Do(t.Context()).Error(); err != nil {
			t.Error(err)
		}
	}
	if status := user.Ended(t, "long").Status; status.Phase != v1.ExecutionCancelled {
		t.Errorf("%+v", status)
	}
	if output := user.Sh(t, "box", "kill -0 $(cat /workspace/pid) 2>/dev/null && echo runs || echo gone"); output.Stdout != "gone\n" {
		t.Errorf("its process %s", output.Stdout)
	}
}

func TestOutputIsCappedAndSaysSo(t *testing.T) {
	t.Parallel()
	_, user := sandboxServer(t)
	user.Running(t, "box")
	const lines = 3_000_000
	status := user.Run(t, "much", v1.ExecutionSpec{Sandbox: "box", Command: []string{"seq", fmt.Sprint(lines)}, TimeoutSeconds: ptr.To[int32](120)}).Status
	output := status.Stdout
	if status.Phase != v1.ExecutionSucceeded || output == nil || !output.Truncated || output.TotalBytes < 10*lines/2 {
		t.Fatalf("%s, %+v", status.Phase, output)
	}
	if !strings.HasPrefix(output.Head, "1\n2\n3\n") || !strings.HasSuffix(output.Tail, fmt.Sprintf("%d\n", lines)) {
		t.Errorf("head %.20q, tail %q", output.Head, output.Tail[max(0, len(output.Tail)-20):])
	}
}

func TestAnExecutionNeverMovesToANewSandboxOfTheName(t *testing.T) {
	t.Parallel()
	_, user := sandboxServer(t)
	first := user.Running(t, "again")
	user.Start(t, "old", v1.ExecutionSpec{Sandbox: "again", Command: []string{"sleep", "1000"}, TimeoutSeconds: ptr.To[int32](3600)})
	user.Gone(t, "again")
	second := user.Running(t, "again")
	status := user.Ended(t, "old").Status
	if status.Phase != v1.ExecutionLost && status.Phase != v1.ExecutionCancelled || status.SandboxUID != first.UID || first.UID == second.UID {
		t.Errorf("%+v", status)
	}
}
