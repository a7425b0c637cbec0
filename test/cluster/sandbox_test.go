// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/test/sandboxes"
)

func applyRuntimes() error {
	return run("kubectl", "apply", "-k", filepath.Join(root, "artifacts/runtimes"))
}

// runtimes are applied once.
var runtimes = sync.OnceValue(applyRuntimes)

// sandboxUser is somebody with a namespace that is open to sandboxes.
func sandboxUser(t *testing.T) *sandboxes.User {
	t.Helper()
	needCluster(t)
	if err := runtimes(); err != nil {
		t.Fatal(err)
	}
	name := closedNamespace(t)
	openToSandboxes(t, name)
	user := sandboxes.NewUser(t, config, name)
	user.Patience = busy * time.Minute
	return user
}

func openToSandboxes(t *testing.T, namespace string) {
	t.Helper()
	_, err := kube.RbacV1().RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "safebeam-sandboxes"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "safebeam-sandboxes"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: "safebeam-controller", Namespace: system}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// small leaves room for others on a test cluster.
func small(spec *v1.SandboxSpec) {
	spec.Resources = &v1.Resources{CPU: ptr.To(resource.MustParse("100m")), Memory: ptr.To(resource.MustParse("256Mi")), EphemeralStorage: ptr.To(resource.MustParse("256Mi"))}
}

func podOf(t *testing.T, sandbox *v1.Sandbox) *corev1.Pod {
	t.Helper()
	pod, err := kube.CoreV1().Pods(sandbox.Status.PodNamespace).Get(t.Context(), sandbox.Status.PodName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

// noPods waits until a namespace has none of sandboxes.
func noPods(t *testing.T, namespace string) {
	t.Helper()
	eventually(t, 60*time.Second, func(ctx context.Context) error {
		pods, err := kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "llmsafespace.dev/type=sandbox"})
		if err == nil && len(pods.Items) > 0 {
			err = fmt.Errorf("pod %s is left", pods.Items[0].Name)
		}
		return err
	})
}

func TestASandboxIsAPodThatIsUsedThroughTheAPI(t *testing.T) {
	t.Parallel()
	user := sandboxUser(t)
	sandbox := user.Running(t, "one", small, func(s *v1.SandboxSpec) { s.Env = []v1.EnvVar{{Name: "GREETING", Value: "hello  world"}} })
	pod := podOf(t, sandbox)
	if status := sandbox.Status; status.PodIP != pod.Status.PodIP || status.NodeName != pod.Spec.NodeName || status.CreatedBy == "" || status.ExpiresAt == nil {
		t.Errorf("the status is %+v", status)
	}
	t.Logf("ready after %d ms: %+v", sandbox.Status.Timings.ReadyMilliseconds, sandbox.Status.Timings)
	for _, spdy := range []bool{false, true} {
		for _, tc := range []struct {
			command sandboxes.Command
			want    sandboxes.Output
		}{
			{sandboxes.Command{Argv: []string{"true"}}, sandboxes.Output{}},
			{sandboxes.Command{Argv: []string{"sh", "-c", "exit 42"}}, sandboxes.Output{Code: 42}},
			{sandboxes.Command{Argv: []string{"sh", "-c", "echo out; echo err >&2; id -u; pwd"}}, sandboxes.Output{Stdout: "out\n1000\n/workspace\n", Stderr: "err\n"}},
			{sandboxes.Command{Argv: []string{"cat"}, Stdin: strings.NewReader(strings.Repeat("in\n", 100_000))}, sandboxes.Output{Stdout: strings.Repeat("in\n", 100_000)}},
			{sandboxes.Command{Argv: []string{"sh", "-c", "echo \"$GREETING\""}}, sandboxes.Output{Stdout: "hello  world\n"}},
			{sandboxes.Command{Argv: []string{"sh", "-c", "tty >/dev/null && echo terminal"}, TTY: true}, sandboxes.Output{Stdout: "terminal\r\n"}},
			{sandboxes.Command{Argv: []string{"python3", "-c", "import numpy, pandas, matplotlib; print(numpy.arange(4).sum())"}}, sandboxes.Output{Stdout: "6\n"}},
		} {
			tc.command.SPDY = spdy
			got, err := user.Exec(t.Context(), "one", tc.command)
			if err != nil || got.Code != tc.want.Code || got.Stdout != tc.want.Stdout || tc.want.Stderr != "" && got.Stderr != tc.want.Stderr {
				t.Errorf("SPDY %v, %q: %.200q, %v", spdy, tc.command.Argv, fmt.Sprint(got), err)
			}
		}
	}
	if status, body, _ := user.File(t, http.MethodPut, "one", "/workspace/a.txt", strings.NewReader("content"), nil); status >= 300 {
		t.Errorf("put: %d %s", status, body)
	}
	if status, body, _ := user.File(t, http.MethodGet, "one", "/workspace/a.txt", nil, nil); status != http.StatusOK || string(body) != "content" {
		t.Errorf("get: %d %s", status, body)
	}
	execution := user.Run(t, "sum", v1.ExecutionSpec{Sandbox: "one", Code: "print(sum(range(10)))"})
	if execution.Status.Phase != v1.ExecutionSucceeded || sandboxes.Text(execution.Status.Stdout) != "45\n" {
		t.Errorf("%+v", execution.Status)
	}
	t.Logf("gone after %s", user.Gone(t, "one"))
	noPods(t, user.Namespace)
}

func TestHighRunsInGVisor(t *testing.T) {
	t.Parallel()
	user := sandboxUser(t)
	if _, err := kube.NodeV1().RuntimeClasses().Get(t.Context(), "gvisor", metav1.GetOptions{}); apierrors.IsNotFound(err) {
		t.Skip("this cluster has no RuntimeClass gvisor")
	}
	sandbox := user.Running(t, "high", small, func(s *v1.SandboxSpec) { s.SecurityLevel = v1.SecurityHigh })
	if class := ptr.Deref(podOf(t, sandbox).Spec.RuntimeClassName, ""); class != "gvisor" {
		t.Errorf("its pod runs in %q", class)
	}
	if output := user.Sh(t, "high", "dmesg 2>/dev/null | head -n 20; cat /proc/version"); !strings.Contains(strings.ToLower(output.Stdout), "gvisor") {
		t.Errorf("its kernel says %q", output.Stdout)
	}
	t.Logf("ready after %d ms", sandbox.Status.Timings.ReadyMilliseconds)
	user.AttackEscapes(t, "high", sandboxes.KillSandboxd)
	// In gVisor a guest can end its own sandbox; that is contained, and told.
	t.Run("a guest that kills its sandboxd", func(t *testing.T) {
		_, _ = user.Exec(t.Context(), "high", sandboxes.Command{Argv: []string{"sh", "-c", "kill -9 1"}})
		if lost := user.Until(t, "high", v1.SandboxLost); lost.Status.Reason != "AgentFailed" || !strings.Contains(lost.Status.Message, "signal 9") {
			t.Errorf("%s: %s", lost.Status.Reason, lost.Status.Message)
		}
	})
}

func TestAPersistentSandboxHasAVolumeThatGoesWithIt(t *testing.T) {
	t.Parallel()
	user := sandboxUser(t)
	sandbox := user.Running(t, "kept", small, func(s *v1.SandboxSpec) {
		s.Storage = &v1.Storage{Persistent: true, VolumeSize: ptr.To(resource.MustParse("1Gi"))}
	})
	if output := user.Sh(t, "kept", "touch /workspace/x && echo ok"); output.Stdout != "ok\n" {
		t.Errorf("%+v", output)
	}
	claim := "sandbox-" + string(sandbox.UID)
	if found, err := kube.CoreV1().PersistentVolumeClaims(user.Namespace).Get(t.Context(), claim, metav1.GetOptions{}); err != nil || found.Spec.Resources.Requests.Storage().String() != "1Gi" {
		t.Errorf("%v, %v", found, err)
	}
	user.Gone(t, "kept")
	eventually(t, 60*time.Second, func(ctx context.Context) error {
		_, err := kube.CoreV1().PersistentVolumeClaims(user.Namespace).Get(ctx, claim, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("the volume is still there: %w", err)
	})
}

// What a cluster cannot give keeps a sandbox Pending, with a reason and a way out.
func TestASandboxThatCannotBeMadeSaysWhy(t *testing.T) {
	t.Parallel()
	user := sandboxUser(t)
	closed := sandboxes.NewUser(t, config, closedNamespace(t))
	full := sandboxes.NewUser(t, config, closedNamespace(t))
	openToSandboxes(t, full.Namespace)
	if _, err := kube.CoreV1().ResourceQuotas(full.Namespace).Create(t.Context(), &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "none"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	unpulled := "unpulled-" + user.Namespace
	if _, err := own.LlmsafespaceV1().RuntimeEnvironments().Create(t.Context(), &v1.RuntimeEnvironment{
		ObjectMeta: metav1.ObjectMeta{Name: unpulled}, Spec: v1.RuntimeEnvironmentSpec{Image: "localhost/there-is-none:1", Language: unpulled, Version: "1"},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = own.LlmsafespaceV1().RuntimeEnvironments().Delete(context.Background(), unpulled, metav1.DeleteOptions{})
	})
	for _, tc := range []struct {
		name, reason, message string
		user                  *sandboxes.User
		phase                 v1.SandboxPhase
		change                func(*v1.SandboxSpec)
	}{
		{"closed", "NamespaceNotOpen", "kubectl create rolebinding safebeam-sandboxes --namespace " + closed.Namespace, closed, v1.SandboxPending, nil},
		{"quota", "QuotaExceeded", "exceeded quota", full, v1.SandboxPending, nil},
		{"room", "Unschedulable", "Insufficient", user, v1.SandboxCreating, func(s *v1.SandboxSpec) { s.Resources.CPU = ptr.To(resource.MustParse("4")) }},
		{"image", "Err|ImagePull", "there-is-none", user, v1.SandboxCreating, func(s *v1.SandboxSpec) { s.Runtime = unpulled }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.user.Patience = busy * time.Minute
			changes := []func(*v1.SandboxSpec){small}
			if tc.change != nil {
				changes = append(changes, tc.change)
			}
			tc.user.Create(t, tc.name, changes...)
			matches := func(reason string) bool {
				for _, part := range strings.Split(tc.reason, "|") {
					if strings.Contains(reason, part) {
						return true
					}
				}
				return false
			}
			sandbox := tc.user.UntilTrue(t, tc.name, tc.reason, func(s *v1.Sandbox) bool {
				ready := meta.FindStatusCondition(s.Status.Conditions, v1.SandboxReady)
				return ready != nil && matches(ready.Reason)
			})
			ready := meta.FindStatusCondition(sandbox.Status.Conditions, v1.SandboxReady)
			if sandbox.Status.Phase != tc.phase || !strings.Contains(ready.Message, tc.message) {
				t.Errorf("%s: %+v", sandbox.Status.Phase, ready)
			}
		})
	}
	t.Run("the environment says so too", func(t *testing.T) {
		eventually(t, 90*time.Second, func(ctx context.Context) error {
			environment, err := own.LlmsafespaceV1().RuntimeEnvironments().Get(ctx, unpulled, metav1.GetOptions{})
			if err == nil && (environment.Status.Available || environment.Status.Message == "") {
				err = fmt.Errorf("its status is %+v", environment.Status)
			}
			return err
		})
	})
}

// A user of one namespace has no way into another one's sandboxes.
func TestSandboxesOfOtherNamespacesAreOutOfReach(t *testing.T) {
	t.Parallel()
	user := sandboxUser(t)
	user.Running(t, "mine", small)
	elsewhere := closedNamespace(t)
	for _, binding := range []struct{ name, role string }{{"e", "edit"}} {
		if _, err := kube.RbacV1().RoleBindings(elsewhere).Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: binding.name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: binding.role},
			Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "eve-" + elsewhere}},
		}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	impersonated := rest.CopyConfig(config)
	impersonated.Impersonate.UserName = "eve-" + elsewhere
	eve := sandboxes.NewUser(t, impersonated, user.Namespace)
	for _, spdy := range []bool{false, true} {
		if output, err := eve.Exec(t.Context(), "mine", sandboxes.Command{Argv: []string{"id"}, SPDY: spdy}); err == nil {
			t.Errorf("exec by a stranger, SPDY %v: %+v", spdy, output)
		}
	}
	if status, _, _ := eve.File(t, http.MethodGet, "mine", "/workspace", nil, nil); status != http.StatusForbidden {
		t.Errorf("files by a stranger: %d", status)
	}
	if _, err := eve.Client.LlmsafespaceV1().Sandboxes(user.Namespace).Get(t.Context(), "mine", metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("get by a stranger: %v", err)
	}
	// At home eve has all that edit gives, and no more.
	home := sandboxes.NewUser(t, impersonated, elsewhere)
	created, err := home.Client.LlmsafespaceV1().Sandboxes(elsewhere).Create(t.Context(), sandboxes.New("hers"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	created.Status.PodName, created.Status.PodNamespace, created.Status.Phase = "mine", user.Namespace, v1.SandboxRunning
	if _, err := home.Client.LlmsafespaceV1().Sandboxes(elsewhere).UpdateStatus(t.Context(), created, metav1.UpdateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("a user writes a status: %v", err)
	}
	if err := home.Client.LlmsafespaceV1().RESTClient().Put().Namespace(elsewhere).Resource("sandboxes").Name("hers").SubResource("pods", "11111111-2222-4333-8444-555555555555").
		Body([]byte("{}")).Do(t.Context()).Error(); !apierrors.IsForbidden(err) {
		t.Errorf("a user binds a pod: %v", err)
	}
	if _, err := home.Client.LlmsafespaceV1().RuntimeEnvironments().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("a user does not see what there is: %v", err)
	}
}
