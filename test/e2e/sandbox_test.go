// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/test/harness"
	"safebeam.dev/safebeam/test/sandboxes"
)

// sandboxServer starts a server that can run sandboxes, or skips the test.
func sandboxServer(t *testing.T) (*harness.Server, *sandboxes.User) {
	t.Helper()
	if _, err := exec.LookPath("bwrap"); err != nil {
		t.Skip("needs bwrap on PATH: apt-get install bubblewrap")
	}
	s := harness.Start(t)
	return s, sandboxes.NewUser(t, s.Config, harness.Namespace)
}

// processes are the sandboxds that run for a server.
func processes(t *testing.T, s *harness.Server) (pids []int) {
	t.Helper()
	children, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	parent := map[int]int{}
	agents := []int{}
	for _, dir := range children {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		stat, _ := os.ReadFile(dir + "/stat")
		if i := bytes.LastIndexByte(stat, ')'); i > 0 {
			var state string
			var ppid int
			fmt.Sscan(string(stat[i+1:]), &state, &ppid)
			parent[pid] = ppid
		}
		if comm, _ := os.ReadFile(dir + "/comm"); strings.TrimSpace(string(comm)) == "sandboxd" || strings.TrimSpace(string(comm)) == "bwrap" {
			agents = append(agents, pid)
		}
	}
	for _, pid := range agents {
		for p := pid; p > 1; p = parent[p] {
			if p == s.Process.Process.Pid {
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids
}

// noProcesses waits until none of them are left.
func noProcesses(t *testing.T, pids []int) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		left := slices.DeleteFunc(slices.Clone(pids), func(pid int) bool {
			comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
			return err != nil || strings.TrimSpace(string(comm)) != "sandboxd" && strings.TrimSpace(string(comm)) != "bwrap"
		})
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("processes %v are left", left)
		}
	}
}

func TestASandboxIsCreatedUsedAndDeleted(t *testing.T) {
	t.Parallel()
	s, user := sandboxServer(t)
	sandbox := user.Running(t, "one", func(spec *v1.SandboxSpec) { spec.Env = []v1.EnvVar{{Name: "GREETING", Value: "hello  world"}} })
	status := sandbox.Status
	if status.CreatedBy == "" || status.PodName == "" || status.NodeName == "" || status.StartTime == nil || status.ExpiresAt == nil || status.Timings == nil || status.Timings.ReadyMilliseconds <= 0 || status.Timings.BoundMilliseconds <= 0 {
		t.Errorf("the status is %+v", status)
	}
	if !strings.HasPrefix(status.RuntimeVersion, "3.") || status.RuntimeEnvironment != "python" {
		t.Errorf("python:3.10 became %q %q", status.RuntimeEnvironment, status.RuntimeVersion)
	}
	if !meta.IsStatusConditionTrue(status.Conditions, v1.SandboxReady) || !meta.IsStatusConditionTrue(status.Conditions, v1.SandboxPodCreated) {
		t.Errorf("conditions are %+v", status.Conditions)
	}
	for name, c := range map[string]sandboxes.Command{
		"WebSocket": {}, "SPDY": {SPDY: true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, tc := range []struct {
				command sandboxes.Command
				want    sandboxes.Output
			}{
				{sandboxes.Command{Argv: []string{"true"}}, sandboxes.Output{}},
				{sandboxes.Command{Argv: []string{"sh", "-c", "exit 42"}}, sandboxes.Output{Code: 42}},
				{sandboxes.Command{Argv: []string{"sh", "-c", "echo out; echo err >&2"}}, sandboxes.Output{Stdout: "out\n", Stderr: "err\n"}},
				{sandboxes.Command{Argv: []string{"cat"}, Stdin: strings.NewReader("in\n")}, sandboxes.Output{Stdout: "in\n"}},
				{sandboxes.Command{Argv: []string{"sh", "-c", "echo \"$GREETING\""}}, sandboxes.Output{Stdout: "hello  world\n"}},
				{sandboxes.Command{Argv: []string{"printf", "%s|", "a\nb", "c d", "'\"$(id)`;"}}, sandboxes.Output{Stdout: "a\nb|c d|'\"$(id)`;|"}},
				{sandboxes.Command{Argv: []string{"sh", "-c", "tty; echo on a terminal"}, TTY: true}, sandboxes.Output{Stdout: "/dev/pts/0\r\non a terminal\r\n"}},
			} {
				tc.command.SPDY = c.SPDY
				got, err := user.Exec(t.Context(), "one", tc.command)
				if err != nil || got != tc.want {
					t.Errorf("%q: %+v, %v", tc.command.Argv, got, err)
				}
			}
		})
	}
	pids := processes(t, s)
	if len(pids) == 0 {
		t.Error("no process of the sandbox was found: this test cannot fail")
	}
	if took := user.Gone(t, "one"); took > 20*time.Second {
		t.Errorf("it took %s to go", took)
	}
	noProcesses(t, pids)
	if _, err := user.Exec(t.Context(), "one", sandboxes.Command{Argv: []string{"true"}}); err == nil {
		t.Error("exec in a sandbox that is gone works")
	}
}

func TestFilesGoInAndOut(t *testing.T) {
	t.Parallel()
	_, user := sandboxServer(t)
	user.Running(t, "files")
	content := strings.Repeat("line\n", 100_000)
	if status, body, _ := user.File(t, http.MethodPut, "files", "/workspace/a.txt", strings.NewReader(content), nil); status != http.StatusCreated && status != http.StatusOK {
		t.Fatalf("put: %d %.200s", status, body)
	}
	if output := user.Sh(t, "files", "wc -l < /workspace/a.txt; id -u; stat -c %u /workspace/a.txt"); output.Stdout != "100000\n1000\n1000\n" {
		t.Errorf("inside it is %q", output.Stdout)
	}
	if status, body, _ := user.File(t, http.MethodGet, "files", "/workspace/a.txt", nil, nil); status != http.StatusOK || string(body) != content {
		t.Errorf("get: %d, %d bytes", status, len(body))
	}
	if status, body, _ := user.File(t, http.MethodGet, "files", "/workspace", nil, http.Header{"Accept": {"application/json"}}); status != http.StatusOK || !bytes.Contains(body, []byte(`"a.txt"`)) {
		t.Errorf("list: %d %.300s", status, body)
	}
	if status, _, _ := user.File(t, http.MethodDelete, "files", "/workspace/a.txt", nil, nil); status != http.StatusOK && status != http.StatusNoContent {
		t.Errorf("delete: %d", status)
	}
	if status, _, _ := user.File(t, http.MethodGet, "files", "/workspace/a.txt", nil, nil); status != http.StatusNotFound {
		t.Errorf("get after delete: %d", status)
	}
}

func TestEveryFieldOfASandboxIsInForce(t *testing.T) {
	t.Parallel()
	_, user := sandboxServer(t)
	user.Running(t, "fields", func(spec *v1.SandboxSpec) {
		spec.SecurityLevel = v1.SecurityCustom
		spec.SecurityContext = &v1.SecurityContext{RunAsUser: ptr.To[int64](1234), RunAsGroup: ptr.To[int64](4321)}
		spec.Filesystem = &v1.Filesystem{WritablePaths: []string{"/data", "/tmp", "/workspace"}}
		spec.Resources = &v1.Resources{Memory: ptr.To(resource.MustParse("256Mi")), EphemeralStorage: ptr.To(resource.MustParse("64Mi"))}
	})
	for name, tc := range map[string]struct{ script, want string }{
		"user and group": {"id -u; id -g", "1234\n4321\n"},
		"writable paths": {"touch /data/x /tmp/x /workspace/x && echo ok; touch /opt/x /var/x 2>/dev/null || echo no", "ok\nno\n"},
		"working dir":    {"pwd", "/workspace\n"},
		"disk":           {"head -c 200000000 /dev/zero > /data/big 2>/dev/null; echo $?; [ $(stat -c %s /data/big) -lt 70000000 ] && echo bounded; rm /data/big", "1\nbounded\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := user.Sh(t, "fields", tc.script).Stdout; got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
	t.Run("memory", func(t *testing.T) {
		output, err := user.Exec(t.Context(), "fields", sandboxes.Command{Argv: []string{"python3", "-c", "b = []\nwhile True: b.append(bytearray(8 << 20))"}})
		if err == nil && output.Code == 0 {
			t.Errorf("%+v, %v", output, err)
		}
		if output := user.Sh(t, "fields", "echo alive"); output.Stdout != "alive\n" {
			t.Errorf("the sandbox answers %q after its guest wanted too much memory", output.Stdout)
		}
	})
}

// What this launcher cannot do is refused or said, never left out in silence.
func TestWhatTheLocalLauncherCannotHonourIsSaid(t *testing.T) {
	t.Parallel()
	_, user := sandboxServer(t)
	for _, tc := range []struct {
		name    string
		change  func(*v1.SandboxSpec)
		runs    bool
		message string
	}{
		{"high", func(s *v1.SandboxSpec) { s.SecurityLevel = v1.SecurityHigh }, false, "securityLevel high"},
		{"persistent", func(s *v1.SandboxSpec) { s.Storage = &v1.Storage{Persistent: true} }, false, "storage.persistent"},
		{"network", func(s *v1.SandboxSpec) {
			s.NetworkAccess = &v1.NetworkAccess{Egress: []v1.NetworkRule{{CIDR: "192.0.2.0/24"}}}
		}, true, "networkAccess has no effect"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var warnings warningList
			warned := rest.CopyConfig(user.Config)
			warned.WarningHandler = &warnings
			sandboxes.NewUser(t, warned, user.Namespace).Create(t, tc.name, tc.change)
			if !strings.Contains(warnings.String(), tc.message) {
				t.Errorf("the creator was warned of %q", warnings.String())
			}
			sandbox := user.UntilTrue(t, tc.name, "judged", func(s *v1.Sandbox) bool {
				return meta.FindStatusCondition(s.Status.Conditions, v1.SandboxPodCreated) != nil && (!tc.runs || s.Status.Phase == v1.SandboxRunning)
			})
			condition := meta.FindStatusCondition(sandbox.Status.Conditions, v1.SandboxPodCreated)
			if (condition.Status == metav1.ConditionTrue) != tc.runs || !strings.Contains(condition.Message, tc.message) {
				t.Errorf("%+v", condition)
			}
			if !tc.runs && (sandbox.Status.Phase != v1.SandboxPending || condition.Reason != "NotSupported") {
				t.Errorf("%s, %+v", sandbox.Status.Phase, condition)
			}
		})
	}
}

// warningList keeps the warnings that a server sends.
type warningList struct {
	mu   sync.Mutex
	text []string
}

func (w *warningList) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, text)
}

func (w *warningList) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.text, "; ")
}

func TestBadSandboxesAreRefusedOnTheirField(t *testing.T) {
	t.Parallel()
	_, user := sandboxServer(t)
	for name, tc := range map[string]struct {
		change func(*v1.SandboxSpec)
		field  string
	}{
		"an unknown runtime":     {func(s *v1.SandboxSpec) { s.Runtime = "cobol:85" }, "spec.runtime"},
		"an image for a runtime": {func(s *v1.SandboxSpec) { s.Runtime = "docker.io/library/python:3" }, "spec.runtime"},
		"a path for a runtime":   {func(s *v1.SandboxSpec) { s.Runtime = "../../etc/passwd" }, "spec.runtime"},
		"memory without end":     {func(s *v1.SandboxSpec) { s.Resources = &v1.Resources{Memory: ptr.To(resource.MustParse("999999Gi"))} }, "spec.resources.memory"},
		"negative memory":        {func(s *v1.SandboxSpec) { s.Resources = &v1.Resources{Memory: ptr.To(resource.MustParse("-1"))} }, "spec.resources.memory"},
		"cpu beyond an int64":    {func(s *v1.SandboxSpec) { s.Resources = &v1.Resources{CPU: ptr.To(resource.MustParse("1E"))} }, "spec.resources.cpu"},
		"root":                   {func(s *v1.SandboxSpec) { s.SecurityContext = &v1.SecurityContext{RunAsUser: ptr.To[int64](0)} }, "spec.securityContext.runAsUser"},
		"a path that climbs":     {func(s *v1.SandboxSpec) { s.Filesystem = &v1.Filesystem{WritablePaths: []string{"/workspace/../etc"}} }, "spec.filesystem.writablePaths"},
		"a domain": {func(s *v1.SandboxSpec) {
			s.NetworkAccess = &v1.NetworkAccess{Egress: []v1.NetworkRule{{Domain: "pypi.org"}}}
		}, "spec.networkAccess.egress[0].domain"},
		"a life without end": {func(s *v1.SandboxSpec) { s.Timeout = ptr.To[int32](1 << 30) }, "spec.timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := user.Client.LlmsafespaceV1().Sandboxes(user.Namespace).Create(t.Context(), sandboxes.New("bad", tc.change), metav1.CreateOptions{})
			if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), tc.field) {
				t.Errorf("%v", err)
			}
			if tc.field == "spec.runtime" && err != nil && name == "an unknown runtime" && !strings.Contains(err.Error(), "python") {
				t.Errorf("it does not say what there is: %v", err)
			}
		})
	}
}
