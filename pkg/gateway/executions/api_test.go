// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package executions_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/apiserver/servertest"
	"safebeam.dev/safebeam/pkg/sandboxd/sandboxdtest"
)

const namespace = "team-a"

func TestMain(m *testing.M) {
	sandboxdtest.Main()
	crashServer()
	os.Exit(m.Run())
}

// world is a server with a sandbox.
type world struct {
	*servertest.Server
	t   *testing.T
	box *servertest.Sandbox
}

func newWorld(t *testing.T, change ...func(*v1.Sandbox)) *world {
	t.Helper()
	w := &world{Server: servertest.Start(t, servertest.Settings{Sandboxes: true}), t: t}
	w.box = w.NewSandbox(t, namespace, "box", change...)
	return w
}

func (w *world) create(name string, spec v1.ExecutionSpec) (*v1.Execution, error) {
	if spec.Sandbox == "" {
		spec.Sandbox = "box"
	}
	if spec.WorkingDir == "" {
		spec.WorkingDir = w.box.Workspace
	}
	if spec.TimeoutSeconds == nil {
		spec.TimeoutSeconds = ptr.To(int32(10 * patience.Seconds())) // not what it is about
	}
	return w.Clients().LlmsafespaceV1().Executions(namespace).Create(w.t.Context(), &v1.Execution{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}, metav1.CreateOptions{})
}

func (w *world) mustCreate(name string, spec v1.ExecutionSpec) *v1.Execution {
	w.t.Helper()
	execution, err := w.create(name, spec)
	if err != nil {
		w.t.Fatal(err)
	}
	return execution
}

func sh(script string) v1.ExecutionSpec {
	return v1.ExecutionSpec{Command: []string{"sh", "-c", script}}
}

// patience is when a test gives up: what hangs does for ever, and a busy machine is slow.
const patience = 2 * time.Minute

func (w *world) get(name string) *v1.Execution {
	w.t.Helper()
	execution, err := w.Clients().LlmsafespaceV1().Executions(namespace).Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return execution
}

// await waits for a condition of an execution.
func (w *world) await(name string, is func(*v1.Execution) bool) *v1.Execution {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var execution *v1.Execution
	if err := wait.PollUntilContextCancel(ctx, 5*time.Millisecond, true, func(context.Context) (bool, error) {
		execution = w.get(name)
		return is(execution), nil
	}); err != nil {
		w.t.Fatalf("%s: %v; %+v", name, err, execution.Status)
	}
	return execution
}

func (w *world) finished(name string) *v1.Execution {
	w.t.Helper()
	return w.await(name, func(e *v1.Execution) bool { return e.Status.Phase.Terminal() })
}

// log reads the log of an execution with the given parameters, to its end.
func (w *world) log(name, query string) []v1.ExecutionEvent {
	w.t.Helper()
	events, err := w.readLog(name, query)
	if err != nil {
		w.t.Fatal(err)
	}
	return events
}

func (w *world) readLog(name, query string) ([]v1.ExecutionEvent, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	request := w.REST().Get().AbsPath("/apis/llmsafespace.dev/v1/namespaces", namespace, "executions", name, "log")
	for _, parameter := range strings.Split(query, "&") {
		if key, value, ok := strings.Cut(parameter, "="); ok {
			request.Param(key, value)
		}
	}
	body, err := request.Stream(ctx)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	var events []v1.ExecutionEvent
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue
		}
		var event v1.ExecutionEvent
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return nil, err
		}
		events = append(events, event)
	}
	return events, lines.Err()
}

func output(events []v1.ExecutionEvent, stream v1.OutputStream) string {
	var b strings.Builder
	for _, event := range events {
		if event.Type == v1.ExecutionEventOutput && event.Stream == stream {
			b.Write(event.Data())
		}
	}
	return b.String()
}

// check holds the laws of every log: numbers ascend without a hole, and the last
// event is the only terminal one.
func check(t *testing.T, events []v1.ExecutionEvent, after int64) {
	t.Helper()
	for i, event := range events {
		if event.Number != after+int64(i)+1 {
			t.Errorf("event %d stands at place %d after %d", event.Number, i, after)
		}
		if event.Type.Terminal() != (i == len(events)-1) {
			t.Errorf("event %d of %d is %s", i+1, len(events), event.Type)
		}
	}
}

func TestExecutionsEndAsTheirProcessesDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		spec           v1.ExecutionSpec
		phase          v1.ExecutionPhase
		reason         string
		code           int32
		signal         string
		stdout, stderr string
		message        string
	}{
		"success":      {spec: v1.ExecutionSpec{Command: []string{"echo", "hello"}}, phase: v1.ExecutionSucceeded, reason: "Completed", stdout: "hello\n"},
		"both-streams": {spec: sh("echo out; echo err >&2"), phase: v1.ExecutionSucceeded, reason: "Completed", stdout: "out\n", stderr: "err\n"},
		"exit-code":    {spec: sh("exit 3"), phase: v1.ExecutionFailed, reason: "NonZeroExitCode", code: 3, message: "exit code 3"},
		"signal":       {spec: sh("kill -9 $$"), phase: v1.ExecutionFailed, reason: "Signaled", code: 137, signal: "SIGKILL"},
		"argv":         {spec: v1.ExecutionSpec{Command: []string{"printf", "%s|", "a\nb", "$(id)"}}, phase: v1.ExecutionSucceeded, reason: "Completed", stdout: "a\nb|$(id)|"},
		"stdin":        {spec: v1.ExecutionSpec{Command: []string{"cat"}, Stdin: "given"}, phase: v1.ExecutionSucceeded, reason: "Completed", stdout: "given"},
		"no-stdin":     {spec: v1.ExecutionSpec{Command: []string{"cat"}}, phase: v1.ExecutionSucceeded, reason: "Completed"},
		"env":          {spec: v1.ExecutionSpec{Command: []string{"sh", "-c", "echo $A"}, Env: []v1.EnvVar{{Name: "A", Value: "b c"}}}, phase: v1.ExecutionSucceeded, reason: "Completed", stdout: "b c\n"},
		"directory":    {spec: v1.ExecutionSpec{Command: []string{"pwd"}, WorkingDir: "/usr"}, phase: v1.ExecutionSucceeded, reason: "Completed", stdout: "/usr\n"},
		"timeout":      {spec: v1.ExecutionSpec{Command: []string{"sh", "-c", "echo begun; sleep 100"}, TimeoutSeconds: ptr.To[int32](1)}, phase: v1.ExecutionTimedOut, reason: "DeadlineExceeded", code: 124, signal: "SIGTERM", stdout: "begun\n"},
		"not-found":    {spec: v1.ExecutionSpec{Command: []string{"no-such-command"}}, phase: v1.ExecutionFailed, reason: "CommandNotFound", code: 127, message: "no-such-command"},
		"no-program":   {spec: v1.ExecutionSpec{Command: []string{"/etc/passwd"}}, phase: v1.ExecutionFailed, reason: "PermissionDenied", code: 126},
		"no-directory": {spec: v1.ExecutionSpec{Command: []string{"true"}, WorkingDir: "/no/such"}, phase: v1.ExecutionFailed, reason: "InvalidCommand", code: -1, message: "/no/such"},
		"shell-code":   {spec: v1.ExecutionSpec{Code: "read x; echo $x $0", Language: "sh", Stdin: "in\n"}, phase: v1.ExecutionSucceeded, reason: "Completed", stdout: "in "},
		"python-code":  {spec: v1.ExecutionSpec{Code: "import sys\nprint(sys.stdin.read())\nraise SystemExit(4)", Stdin: "in"}, phase: v1.ExecutionFailed, reason: "NonZeroExitCode", code: 4, stdout: "in\n"},
		"no-language":  {spec: v1.ExecutionSpec{Code: "puts 1", Language: "ruby"}, phase: v1.ExecutionFailed, reason: "InterpreterNotFound", code: 127, message: "ruby"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &world{Server: w.Server, t: t, box: w.box}
			w.mustCreate(name, c.spec)
			events := w.log(name, "follow=true")
			check(t, events, 0)
			status := w.get(name).Status // what the terminal event says is durable
			if status.Phase != c.phase || status.Reason != c.reason || status.Signal != c.signal || !strings.Contains(status.Message, c.message) {
				t.Errorf("%+v", status)
			}
			if c.code >= 0 && ptr.Deref(status.ExitCode, -1) != c.code || c.code < 0 && status.ExitCode != nil {
				t.Errorf("exit code %v, want %d", ptr.Deref(status.ExitCode, -1), c.code)
			}
			stdout, stderr := output(events, v1.Stdout), output(events, v1.Stderr)
			if !strings.HasPrefix(stdout, c.stdout) || stderr != c.stderr && c.stderr != "" {
				t.Errorf("stdout %q, stderr %q", stdout, stderr)
			}
			if got := ptr.Deref(status.Stdout, v1.ExecutionOutput{}); got.Head != stdout || got.TotalBytes != int64(len(stdout)) || got.Truncated {
				t.Errorf("the status has %+v, the log %q", got, stdout)
			}
			last := events[len(events)-1]
			if string(last.Type) != string(status.Phase) || last.Number != status.LastEvent || last.Reason != status.Reason {
				t.Errorf("last event %+v, status %+v", last, status)
			}
		})
	}
}

func TestOutputIsCappedAtItsSource(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const size = 4 << 20
	w.mustCreate("big", sh(fmt.Sprintf("echo first; head -c %d /dev/zero | tr '\\0' x; echo; echo last", size)))
	events := w.log("big", "follow=true")
	check(t, events, 0)
	status := w.finished("big").Status
	out := status.Stdout
	if out == nil || out.TotalBytes != size+len64("first\n\nlast\n") || !out.Truncated ||
		!strings.HasPrefix(out.Head, "first\nxxx") || !strings.HasSuffix(out.Tail, "x\nlast\n") {
		t.Fatalf("%+v", out)
	}
	var omitted, kept int64
	for _, event := range events {
		omitted += event.Omitted
		kept += len64(string(event.Data()))
	}
	if kept+omitted != out.TotalBytes || kept > 1<<20 {
		t.Errorf("%d bytes kept and %d said to be omitted of %d", kept, omitted, out.TotalBytes)
	}
}

func len64(s string) int64 { return int64(len(s)) }

func TestBinaryOutputIsNotChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustCreate("binary", sh(`printf '\377\000\376text'`))
	events := w.log("binary", "follow=true")
	if got := output(events, v1.Stdout); got != "\xff\x00\xfetext" {
		t.Errorf("%q", got)
	}
	if head := w.get("binary").Status.Stdout.Head; head != "\ufffd\x00\ufffdtext" {
		t.Errorf("%q", head)
	}
}

func TestALogIsReadAgainFromAnyNumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustCreate("steps", sh("for i in 1 2 3 4 5; do echo $i; echo e$i >&2; sleep 0.02; done"))
	all := w.log("steps", "follow=true")
	check(t, all, 0)
	for after := range all {
		check(t, w.log("steps", fmt.Sprintf("after=%d", after)), int64(after))
	}
	if events := w.log("steps", fmt.Sprintf("after=%d", len(all))); len(events) != 0 {
		t.Errorf("after the end came %+v", events)
	}
	if _, err := w.readLog("steps", fmt.Sprintf("after=%d", len(all)+1)); !apierrors.IsResourceExpired(err) {
		t.Errorf("a cursor of the future: %v", err)
	}
	for _, event := range w.log("steps", "stream=stderr") {
		if event.Stream != v1.Stderr && !event.Type.Terminal() {
			t.Errorf("not asked for: %+v", event)
		}
	}
	if got := output(w.log("steps", "stream=stdout"), v1.Stdout); got != "1\n2\n3\n4\n5\n" {
		t.Errorf("%q", got)
	}
	if _, err := w.readLog("steps", "stream=all"); !apierrors.IsBadRequest(err) {
		t.Errorf("a stream that there is not: %v", err)
	}
}

func TestCancelEndsTheProcessAndIsIdempotent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cancel := func(name string) (*v1.Execution, error) {
		out := &v1.Execution{}
		err := w.Clients().LlmsafespaceV1().RESTClient().Post().Namespace(namespace).Resource("executions").Name(name).SubResource("cancel").Do(context.Background()).Into(out)
		return out, err
	}
	w.mustCreate("long", sh(`trap "" TERM; echo begun; sleep 1000 & wait; sleep 1000`))
	w.await("long", func(*v1.Execution) bool { return len(w.log("long", "")) > 0 })
	for range 2 {
		cancelled, err := cancel("long")
		if err != nil || cancelled.Status.Phase != v1.ExecutionCancelled || !strings.Contains(cancelled.Status.Message, "cancelled by") {
			t.Fatalf("%v: %+v", err, cancelled.Status)
		}
	}
	events := w.log("long", "follow=true")
	check(t, events, 0)
	w.mustCreate("done", sh("true"))
	w.finished("done")
	if done, err := cancel("done"); err != nil || done.Status.Phase != v1.ExecutionSucceeded {
		t.Errorf("%v: %+v", err, done.Status)
	}
	if _, err := cancel("nowhere"); !apierrors.IsNotFound(err) {
		t.Error(err)
	}
}

func TestADeletedExecutionLeavesNoProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pidfile := filepath.Join(w.box.Workspace, "pid")
	execution := w.mustCreate("long", sh("echo $$ > pid; exec sleep 1000"))
	w.await("long", func(*v1.Execution) bool { pid, _ := os.ReadFile(pidfile); return len(pid) > 1 })
	pid, err := os.ReadFile(pidfile)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Clients().LlmsafespaceV1().Executions(namespace).Delete(t.Context(), "long", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the process is gone", func() bool {
		_, err := os.Stat("/proc/" + strings.TrimSpace(string(pid)))
		return os.IsNotExist(err)
	})
	eventually(t, "its output is gone", func() bool {
		records, err := w.Opened.ExtraConfig.Store.Journal().Owners(t.Context(), "executions/", 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, owner := range records {
			if strings.Contains(string(owner), string(execution.UID)) {
				return false
			}
		}
		return true
	})
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so after a while: %s", what)
		}
	}
}

func TestExecutionsWaitForTheirSandbox(t *testing.T) {
	t.Parallel()
	w := &world{Server: servertest.Start(t, servertest.Settings{Sandboxes: true}), t: t}
	w.box = w.NewPendingSandbox(t, namespace, "box")
	early := w.mustCreate("early", sh("echo early"))
	if early.Status.Phase != v1.ExecutionQueued || early.Status.SandboxUID != w.box.UID {
		t.Errorf("%+v", early.Status)
	}
	cancelled := w.mustCreate("cancelled", sh("echo never >> "+filepath.Join(w.box.Workspace, "ran")))
	if err := w.Clients().LlmsafespaceV1().RESTClient().Post().Namespace(namespace).Resource("executions").Name(cancelled.Name).SubResource("cancel").Do(t.Context()).Error(); err != nil {
		t.Fatal(err)
	}
	w.box.Connect(t)
	if done := w.finished("early"); done.Status.Phase != v1.ExecutionSucceeded || done.Status.Stdout.Head != "early\n" {
		t.Errorf("%+v", done.Status)
	}
	if done := w.finished("cancelled"); done.Status.Phase != v1.ExecutionCancelled || done.Status.StartTime != nil {
		t.Errorf("%+v", done.Status)
	}
	if _, err := os.Stat(filepath.Join(w.box.Workspace, "ran")); err == nil {
		t.Error("a cancelled execution ran")
	}
	if later := w.mustCreate("later", sh("true")); later.Status.Phase != v1.ExecutionRunning {
		t.Errorf("in a sandbox that runs it is %s at once", later.Status.Phase)
	}
}

func TestMoreExecutionsThanPlacesTakeTurns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 80 // more than run at a time
	for i := range n {
		w.mustCreate(fmt.Sprintf("n%d", i), sh("echo $$ >> ran; sleep 0.01"))
	}
	for i := range n {
		if done := w.finished(fmt.Sprintf("n%d", i)); done.Status.Phase != v1.ExecutionSucceeded {
			t.Fatalf("%+v", done.Status)
		}
	}
	ran, err := os.ReadFile(filepath.Join(w.box.Workspace, "ran"))
	if err != nil || strings.Count(string(ran), "\n") != n {
		t.Errorf("%v: %d lines", err, strings.Count(string(ran), "\n"))
	}
}

func TestASandboxThatEndsTakesItsExecutionsAlong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end    func(w *world)
		reason string
	}{
		"its time": {func(w *world) {
			w.patchSandbox(`{"spec":{"timeout":1}}`)
		}, "TimedOut"},
		"its pod": {func(w *world) {
			w.box.Sandboxd.Process.Kill()
			w.patchSandboxStatus(`{"status":{"phase":"Lost","reason":"OOMKilled","message":"the pod ran out of memory","completionTime":"2026-01-01T00:00:00Z"}}`)
		}, "OOMKilled"},
		"its deletion": {func(w *world) {
			if err := w.Clients().LlmsafespaceV1().Sandboxes(namespace).Delete(context.Background(), "box", metav1.DeleteOptions{}); err != nil {
				w.t.Fatal(err)
			}
		}, "SandboxDeleted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.mustCreate("long", sh("echo begun; sleep 1000"))
			w.await("long", func(*v1.Execution) bool { return len(w.log("long", "")) > 0 })
			c.end(w)
			status := w.finished("long").Status
			if status.Phase != v1.ExecutionLost || status.Reason != c.reason || status.Stdout.Head != "begun\n" {
				t.Errorf("%+v", status)
			}
			check(t, w.log("long", "follow=true"), 0)
		})
	}
}

func (w *world) patchSandbox(patch string) {
	w.t.Helper()
	if err := w.Clients().LlmsafespaceV1().RESTClient().Patch("application/merge-patch+json").Namespace(namespace).Resource("sandboxes").Name("box").Body([]byte(patch)).Do(context.Background()).Error(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) patchSandboxStatus(patch string) {
	w.t.Helper()
	if err := w.Clients().LlmsafespaceV1().RESTClient().Patch("application/merge-patch+json").Namespace(namespace).Resource("sandboxes").Name("box").SubResource("status").Body([]byte(patch)).Do(context.Background()).Error(); err != nil {
		w.t.Fatal(err)
	}
}

func TestWhatCannotRunIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.create("lang", v1.ExecutionSpec{Code: "x", Language: "cobol"}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "python") {
		t.Errorf("a language without interpreter: %v", err)
	}
	if _, err := w.create("nowhere", v1.ExecutionSpec{Sandbox: "other", Command: []string{"true"}}); !apierrors.IsInvalid(err) {
		t.Errorf("a sandbox that is not there: %v", err)
	}
	w.mustCreate("taken", sh("true"))
	if _, err := w.create("taken", sh("true")); !apierrors.IsAlreadyExists(err) {
		t.Errorf("a name that is taken: %v", err)
	}
	w.finished("taken")
}
