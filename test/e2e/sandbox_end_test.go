// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/test/sandboxes"
)

func TestASandboxEndsWithItsTime(t *testing.T) {
	t.Parallel()
	s, user := sandboxServer(t)
	began := time.Now()
	user.Running(t, "short", func(spec *v1.SandboxSpec) {
		spec.Timeout, spec.TTLSecondsAfterFinished = ptr.To[int32](8), ptr.To[int32](2)
	})
	pids := processes(t, s)
	user.Start(t, "unfinished", v1.ExecutionSpec{Sandbox: "short", Command: []string{"sleep", "1000"}, TimeoutSeconds: ptr.To[int32](3600)})
	sandbox := user.Until(t, "short", v1.SandboxTerminated)
	if sandbox.Status.Reason != "TimedOut" || sandbox.Status.CompletionTime == nil || time.Since(began) < 7*time.Second {
		t.Errorf("after %s: %+v", time.Since(began), sandbox.Status)
	}
	noProcesses(t, pids)
	execution := user.Ended(t, "unfinished")
	if execution.Status.Phase != v1.ExecutionLost || execution.Status.Reason == "" {
		t.Errorf("its execution ended as %+v", execution.Status)
	}
	if _, err := user.Exec(t.Context(), "short", sandboxes.Command{Argv: []string{"true"}}); err == nil {
		t.Error("exec in a sandbox that is over works")
	}
	// The object follows after its time to live.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		_, err := user.Client.LlmsafespaceV1().Sandboxes(user.Namespace).Get(ctx, "short", metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	}); err != nil {
		t.Error("the object stays after its time to live")
	}
	// What it wrote has a time of its own.
	if _, err := user.Client.LlmsafespaceV1().Executions(user.Namespace).Get(t.Context(), "unfinished", metav1.GetOptions{}); err != nil {
		t.Errorf("the execution went with its sandbox: %v", err)
	}
}

func TestASandboxThatIsGivenMoreTimeLivesLonger(t *testing.T) {
	t.Parallel()
	_, user := sandboxServer(t)
	user.Running(t, "longer", func(spec *v1.SandboxSpec) { spec.Timeout = ptr.To[int32](8) })
	if _, err := user.Client.LlmsafespaceV1().Sandboxes(user.Namespace).Patch(t.Context(), "longer", types.MergePatchType, []byte(`{"spec":{"timeout":600}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	output, err := user.Exec(t.Context(), "longer", sandboxes.Command{Argv: []string{"sh", "-c", "sleep 9; echo here"}})
	if err != nil || output.Stdout != "here\n" {
		t.Errorf("%+v, %v", output, err)
	}
}

func TestASandboxThatNobodyUsesEndsAndOneInUseDoesNot(t *testing.T) {
	t.Parallel()
	_, user := sandboxServer(t)
	idle := func(spec *v1.SandboxSpec) { spec.IdleTimeout = ptr.To[int32](5) }
	user.Running(t, "unused", idle)
	user.Running(t, "used", idle)
	output, err := user.Exec(t.Context(), "used", sandboxes.Command{Argv: []string{"sh", "-c", "sleep 8; echo still here"}})
	if err != nil || output.Stdout != "still here\n" {
		t.Errorf("the used one: %+v, %v", output, err)
	}
	for _, name := range []string{"unused", "used"} {
		if sandbox := user.Until(t, name, v1.SandboxTerminated); sandbox.Status.Reason != "Idle" {
			t.Errorf("%s: %+v", name, sandbox.Status)
		}
	}
}

func TestAfterAKillOfTheServerNothingRunsAndEverythingHasAnEnd(t *testing.T) {
	t.Parallel()
	s, user := sandboxServer(t)
	user.Running(t, "lost")
	user.Start(t, "running", v1.ExecutionSpec{Sandbox: "lost", Command: []string{"sh", "-c", "echo begun; sleep 1000"}, TimeoutSeconds: ptr.To[int32](3600)})
	done := user.Run(t, "done", v1.ExecutionSpec{Sandbox: "lost", Command: []string{"echo", "kept"}})
	if done.Status.Phase != v1.ExecutionSucceeded {
		t.Fatalf("%+v", done.Status)
	}
	pids := processes(t, s)
	s.Kill()
	noProcesses(t, pids)
	s.Restart()
	sandbox := user.Until(t, "lost", v1.SandboxLost)
	if sandbox.Status.Reason != "LauncherRestarted" || sandbox.Status.Message == "" {
		t.Errorf("%+v", sandbox.Status)
	}
	if execution := user.Ended(t, "running"); execution.Status.Phase != v1.ExecutionLost {
		t.Errorf("%+v", execution.Status)
	}
	if status, body := getLog(t, user, "done"); status != http.StatusOK || !strings.Contains(body, "kept") {
		t.Errorf("the output of what was done: %d %s", status, body)
	}
	// The next one is none the worse for it.
	user.Running(t, "next")
	if output := user.Sh(t, "next", "echo fine"); output.Stdout != "fine\n" {
		t.Errorf("%+v", output)
	}
	if took := user.Gone(t, "lost"); took > 20*time.Second {
		t.Errorf("it took %s to go", took)
	}
}

func TestAServerThatEndsInOrderLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	s, user := sandboxServer(t)
	user.Running(t, "one")
	user.Running(t, "two")
	pids := processes(t, s)
	if len(pids) < 2 {
		t.Fatalf("processes %v", pids)
	}
	s.Stop()
	noProcesses(t, pids)
	s.Restart()
	for _, name := range []string{"one", "two"} {
		if sandbox := user.Until(t, name, v1.SandboxLost, v1.SandboxTerminated); sandbox.Status.Reason != "LauncherRestarted" {
			t.Errorf("%+v", sandbox.Status)
		}
	}
}

func TestASandboxCanBeDeletedAtEveryMoment(t *testing.T) {
	t.Parallel()
	s, user := sandboxServer(t)
	for i := range 12 {
		user.Create(t, "moment")
		time.Sleep(time.Duration(i) * 4 * time.Millisecond) // each another moment of its start
		user.Gone(t, "moment")
	}
	noProcesses(t, processes(t, s))
}

// getLog reads the whole log of an execution.
func getLog(t *testing.T, user *sandboxes.User, name string) (int, string) {
	t.Helper()
	result := user.Client.LlmsafespaceV1().RESTClient().Get().Namespace(user.Namespace).Resource("executions").Name(name).SubResource("log").Do(t.Context())
	var status int
	result.StatusCode(&status)
	body, err := result.Raw()
	if err != nil {
		t.Logf("%v", err)
	}
	return status, string(body)
}
