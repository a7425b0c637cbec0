// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package live_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/apiserver/servertest"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	"safebeam.dev/safebeam/pkg/sandboxd/sandboxdtest"
)

const namespace = "team-a"

func TestMain(m *testing.M) {
	sandboxdtest.Main()
	os.Exit(m.Run())
}

// server is one of the test's own: timers of one test do not wait for another's.
func server(t *testing.T) *servertest.Server {
	t.Helper()
	return servertest.Start(t, servertest.Settings{Sandboxes: true})
}

func get(t *testing.T, s *servertest.Server, name string) *v1.Sandbox {
	t.Helper()
	box, err := s.Clients().LlmsafespaceV1().Sandboxes(namespace).Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func patch(t *testing.T, s *servertest.Server, name, patch string) {
	t.Helper()
	if _, err := s.Clients().LlmsafespaceV1().Sandboxes(namespace).Patch(context.Background(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(40 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so after a while: %s", what)
		}
	}
}

func acquire(t *testing.T, s *servertest.Server, box *v1.Sandbox) (*sandboxes.Sandbox, func()) {
	t.Helper()
	connection, done, err := s.Storages.Sandboxes.Live.Acquire(context.Background(), box)
	if err != nil {
		t.Fatal(err)
	}
	return connection, done
}

func run(t *testing.T, connection *sandboxes.Sandbox, id, script string) string {
	t.Helper()
	var out strings.Builder
	_, err := connection.Run(context.Background(), sandboxes.Command{ID: id, Argv: []string{"sh", "-c", script}}, sandboxes.Streams{
		Output: func(c sandboxes.Chunk) error { out.Write(c.Data); return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestTheFirstConnectionMakesASandboxRunning(t *testing.T) {
	t.Parallel()
	s := server(t)
	box := s.NewPendingSandbox(t, namespace, "box", func(box *v1.Sandbox) {
		box.Spec.Timeout = ptr.To[int32](100)
		box.Spec.Env = []v1.EnvVar{{Name: "GREETING", Value: "hello there"}}
	})
	if _, _, err := s.Storages.Sandboxes.Live.Acquire(t.Context(), box.Sandbox); !apierrors.IsConflict(err) || !strings.Contains(err.Error(), "not running yet") {
		t.Errorf("before it runs: %v", err)
	}
	box.Connect(t)
	status := box.Status
	if status.StartTime == nil || status.ExpiresAt == nil || status.ExpiresAt.Sub(status.StartTime.Time) != 100*time.Second ||
		status.Timings == nil || status.Timings.ReadyMilliseconds <= 0 || !meta.IsStatusConditionTrue(status.Conditions, v1.SandboxReady) {
		t.Errorf("%+v", status)
	}
	connection, done := acquire(t, s, box.Sandbox)
	defer done()
	if got := run(t, connection, "1", `echo "$GREETING"`); got != "hello there\n" {
		t.Errorf("%q", got)
	}
	// What is not its own is not served.
	if _, err := connection.Stat(t.Context(), "/etc/passwd"); err == nil {
		t.Error("a file outside the writable paths")
	}
}

func TestTheTimeoutEndsASandboxAndMayChange(t *testing.T) {
	t.Parallel()
	s := server(t)
	box := s.NewSandbox(t, namespace, "box", func(box *v1.Sandbox) { box.Spec.Timeout = ptr.To[int32](8) })
	patch(t, s, "box", `{"spec":{"timeout":500}}`)
	eventually(t, "expiresAt has moved", func() bool {
		now := get(t, s, "box")
		return now.Status.ExpiresAt.Sub(now.Status.StartTime.Time) == 500*time.Second && now.Status.ObservedGeneration == now.Generation
	})
	time.Sleep(time.Until(box.Status.StartTime.Add(9 * time.Second))) // the old end, and a second of its rounding
	if phase := get(t, s, "box").Status.Phase; phase != v1.SandboxRunning {
		t.Fatalf("given more time it is %s", phase)
	}
	patch(t, s, "box", `{"spec":{"timeout":1}}`)
	s.AwaitSandbox(t, box, v1.SandboxTerminating)
	if box.Status.Reason != "TimedOut" || meta.IsStatusConditionTrue(box.Status.Conditions, v1.SandboxReady) {
		t.Errorf("%+v", box.Status)
	}
	if _, _, err := s.Storages.Sandboxes.Live.Acquire(t.Context(), box.Sandbox); !apierrors.IsConflict(err) || !strings.Contains(err.Error(), "TimedOut") {
		t.Errorf("after its end: %v", err)
	}
}

func TestASandboxIsNotIdleWhileAnythingRuns(t *testing.T) {
	t.Parallel()
	s := server(t)
	box := s.NewSandbox(t, namespace, "box", func(box *v1.Sandbox) { box.Spec.IdleTimeout = ptr.To[int32](4) })
	connection, done := acquire(t, s, box.Sandbox)
	time.Sleep(5 * time.Second)
	if phase := get(t, s, "box").Status.Phase; phase != v1.SandboxRunning {
		t.Fatalf("while it is used it is %s", phase)
	}
	// A process that nobody is attached to any more is activity, too.
	ctx, cancel := context.WithCancel(t.Context())
	left := time.Now()
	go connection.Run(ctx, sandboxes.Command{ID: "left", Argv: []string{"sleep", "4"}, Survive: true}, sandboxes.Streams{Started: func(time.Time) { cancel() }})
	<-ctx.Done()
	done()
	s.AwaitSandbox(t, box, v1.SandboxTerminating)
	if took := time.Since(left); took < 8*time.Second {
		t.Errorf("it was ended %s after 4 s of a process and 4 s of nothing began", took)
	}
	if box.Status.Reason != "Idle" {
		t.Errorf("%+v", box.Status)
	}
}

func TestASandboxThatIsAwaySaysSo(t *testing.T) {
	t.Parallel()
	s := server(t)
	box := s.NewSandbox(t, namespace, "box")
	if err := box.Sandboxd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var condition *metav1.Condition
	eventually(t, "Ready is false", func() bool {
		condition = meta.FindStatusCondition(get(t, s, "box").Status.Conditions, v1.SandboxReady)
		return condition.Status == metav1.ConditionFalse
	})
	if condition.Reason != "Disconnected" {
		t.Errorf("%+v", condition)
	}
	_, _, err := s.Storages.Sandboxes.Live.Acquire(t.Context(), box.Sandbox)
	if seconds, ok := apierrors.SuggestsClientDelay(err); !apierrors.IsServiceUnavailable(err) || !ok || seconds == 0 {
		t.Errorf("%v", err)
	}
}

// TestAStolenTokenOpensNothing: whoever has the token of a sandbox's pod and is not
// its sandboxd is sent away, and the sandbox says so and goes on.
func TestAStolenTokenOpensNothing(t *testing.T) {
	t.Parallel()
	s := server(t)
	victim := s.NewSandbox(t, namespace, "victim")
	thief := sandboxdtest.Start(t, victim.SandboxdConfig)
	<-thief.Done()
	if said := thief.Output.String(); !strings.Contains(said, "DUPLICATE") {
		t.Errorf("the thief was told %q", said)
	}
	eventually(t, "the victim reports it", func() bool {
		return meta.IsStatusConditionTrue(get(t, s, "victim").Status.Conditions, "IntruderRefused")
	})
	connection, done := acquire(t, s, victim.Sandbox)
	defer done()
	if err := os.WriteFile(filepath.Join(victim.Workspace, "mine"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := run(t, connection, "1", "cat mine"); got != "mine" {
		t.Errorf("%q", got)
	}
}

func TestActivityIsWrittenAtMostOnceAMinute(t *testing.T) {
	t.Parallel()
	s := server(t)
	box := s.NewSandbox(t, namespace, "box")
	before := get(t, s, "box").ResourceVersion
	for i := range 50 {
		connection, done := acquire(t, s, box.Sandbox)
		run(t, connection, fmt.Sprint(i), "true")
		done()
	}
	if after := get(t, s, "box").ResourceVersion; after != before {
		t.Errorf("50 execs changed the sandbox from %s to %s", before, after)
	}
}

func TestARestartLeavesRunningSandboxesRunning(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := servertest.Start(t, servertest.Settings{Sandboxes: true, DataDir: dir})
	box := first.NewSandbox(t, namespace, "box", func(box *v1.Sandbox) { box.Spec.Timeout = ptr.To[int32](3600) })
	first.Stop()
	second := servertest.Start(t, servertest.Settings{Sandboxes: true, DataDir: dir})
	now := get(t, second, "box")
	if now.Status.Phase != v1.SandboxRunning || !now.Status.StartTime.Equal(box.Status.StartTime) {
		t.Errorf("%+v", now.Status)
	}
	// Its time counts from the start that was said before.
	patch(t, second, "box", `{"spec":{"timeout":1}}`)
	second.AwaitSandbox(t, box, v1.SandboxTerminating)
	if box.Status.Reason != "TimedOut" {
		t.Errorf("%+v", box.Status)
	}
}

// TestASandboxdThatMisbehavesEndsItsSandbox is with a sandboxd that speaks nonsense:
// see gateway/sandboxes for all that it may say.
func TestASandboxdThatMisbehavesEndsItsSandbox(t *testing.T) {
	t.Parallel()
	s := server(t)
	box := s.NewSandbox(t, namespace, "box")
	s.Storages.Sandboxes.Live.Misbehaved(box.PodUID, fmt.Errorf("%w: chunk 7 follows chunk 2", sandboxes.ErrMisbehaved))
	s.AwaitSandbox(t, box, v1.SandboxLost)
	if box.Status.Reason != "AgentMisbehaved" || !strings.Contains(box.Status.Message, "chunk 7") || box.Status.CompletionTime == nil {
		said, _ := json.Marshal(box.Status)
		t.Errorf("%s", said)
	}
	eventually(t, "its sandboxd is sent away", func() bool {
		select {
		case <-box.Sandboxd.Done():
			return strings.Contains(box.Sandboxd.Output.String(), "GONE")
		default:
			return false
		}
	})
}
