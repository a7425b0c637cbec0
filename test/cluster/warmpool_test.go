// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
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

// tenants are an admin with a pool, and somebody who may edit a namespace of
// their own and nothing else.
func tenants(t *testing.T) (admin, tenant *sandboxes.User) {
	t.Helper()
	admin = sandboxUser(t)
	space := closedNamespace(t)
	as := rest.CopyConfig(config)
	as.Impersonate = rest.ImpersonationConfig{UserName: "tenant-of-" + space}
	if _, err := kube.RbacV1().RoleBindings(space).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "tenant"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: as.Impersonate.UserName}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	tenant = sandboxes.NewUser(t, as, space)
	tenant.Patience = admin.Patience
	return admin, tenant
}

// addPool makes a pool of small pods for a namespace and waits until it is full.
func addPool(t *testing.T, admin *sandboxes.User, allowed string, size int32, change ...func(*v1.WarmPoolSpec)) {
	t.Helper()
	spec := v1.WarmPoolSpec{
		Runtime: "python:3.10", MinSize: size, AllowedNamespaces: []string{allowed},
		Resources: &v1.Resources{CPU: ptr.To(resource.MustParse("100m")), Memory: ptr.To(resource.MustParse("256Mi")), EphemeralStorage: ptr.To(resource.MustParse("256Mi"))},
	}
	for _, f := range change {
		f(&spec)
	}
	if _, err := admin.Client.LlmsafespaceV1().WarmPools(admin.Namespace).Create(t.Context(), &v1.WarmPool{ObjectMeta: metav1.ObjectMeta{Name: "pool"}, Spec: spec}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	full(t, admin, size)
}

func full(t *testing.T, admin *sandboxes.User, size int32) {
	t.Helper()
	eventually(t, 3*time.Minute, func(ctx context.Context) error {
		pool, err := admin.Client.LlmsafespaceV1().WarmPools(admin.Namespace).Get(ctx, "pool", metav1.GetOptions{})
		if err == nil && (pool.Status.AvailablePods != size || pool.Status.PendingPods != 0) {
			err = fmt.Errorf("the pool has %+v", pool.Status)
		}
		return err
	})
}

func TestATenantGetsAPodOfAnothersPool(t *testing.T) {
	t.Parallel()
	admin, tenant := tenants(t)
	addPool(t, admin, tenant.Namespace, 2, func(s *v1.WarmPoolSpec) {
		s.PreloadScripts = []v1.PreloadScript{{Name: "numpy", Content: "import numpy\nopen('/workspace/preloaded', 'w').write(str(numpy.arange(4).sum()))"}}
	})
	sandbox := tenant.Create(t, "one", small, func(s *v1.SandboxSpec) { s.Env = []v1.EnvVar{{Name: "GREETING", Value: "hello"}} })
	status := sandbox.Status
	if status.Phase != v1.SandboxRunning || status.PodNamespace != admin.Namespace || status.PodIP == "" || status.NodeName == "" {
		t.Fatalf("the answer says %+v", status)
	}
	t.Logf("Running after %d ms", status.Timings.ReadyMilliseconds)
	out, err := tenant.Exec(t.Context(), "one", sandboxes.Command{Argv: []string{"sh", "-c", `echo $GREETING $(cat /workspace/preloaded)`}})
	if err != nil || out.Stdout != "hello 6\n" {
		t.Errorf("the first exec: %+v, %v", out, err)
	}
	if code, body, _ := tenant.File(t, http.MethodGet, "one", "/workspace/preloaded", nil, nil); code != http.StatusOK || string(body) != "6" {
		t.Errorf("files: %d %q", code, body)
	}
	if e := tenant.Run(t, "e", v1.ExecutionSpec{Sandbox: "one", Language: "python", Code: "print(6*7)"}); e.Status.Phase != v1.ExecutionSucceeded {
		t.Errorf("an execution: %+v", e.Status)
	}
	// They see nothing of the pool.
	if _, err := tenant.Client.LlmsafespaceV1().WarmPods(admin.Namespace).Get(t.Context(), status.WarmPodRef.Name, metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("reading the warm pod: %v", err)
	}
	full(t, admin, 2)
	tenant.Gone(t, "one")
	eventually(t, time.Minute, func(ctx context.Context) error {
		_, err := kube.CoreV1().Pods(status.PodNamespace).Get(ctx, status.PodName, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("the used pod is still there: %v", err)
	})

	// A pool that does not allow it gives nothing.
	stranger := closedNamespace(t)
	openToSandboxes(t, stranger)
	other := sandboxes.NewUser(t, config, stranger)
	made := other.Create(t, "cold", small, func(s *v1.SandboxSpec) {
		s.WarmPoolRef = &v1.ObjectReference{Namespace: admin.Namespace, Name: "pool"}
	})
	if c := meta.FindStatusCondition(made.Status.Conditions, v1.SandboxWarmPodBound); made.Status.Phase != v1.SandboxPending || c == nil || c.Reason != "NoPool" {
		t.Errorf("a stranger's sandbox is %+v", made.Status)
	}
}

func TestWarmPodsSurviveARestartOfTheServer(t *testing.T) {
	// Not in parallel: others would lose the server, too.
	admin := sandboxUser(t)
	addPool(t, admin, admin.Namespace, 2)
	before := map[string]bool{}
	pods, err := admin.Client.LlmsafespaceV1().WarmPods(admin.Namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods.Items {
		before[pod.Name] = true
	}
	server := serverPod(t)
	if err := kube.CoreV1().Pods(system).Delete(t.Context(), server, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)}); err != nil {
		t.Fatal(err)
	}
	serverUp(t, server) // the old one answers for a moment yet
	var made *v1.Sandbox
	n := 0
	eventually(t, 3*time.Minute, func(ctx context.Context) error {
		n++
		sandbox := sandboxes.New(fmt.Sprint("after-", n), small)
		created, err := admin.Client.LlmsafespaceV1().Sandboxes(admin.Namespace).Create(ctx, sandbox, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		if created.Status.Phase != v1.SandboxRunning {
			return fmt.Errorf("not warm yet: %+v", created.Status.Conditions)
		}
		made = created
		return nil
	})
	if !before[made.Status.WarmPodRef.Name] {
		t.Errorf("it got %s, which is none of those that were there before: %v", made.Status.WarmPodRef.Name, before)
	}
	if out := admin.Sh(t, made.Name, "echo alive"); out.Stdout != "alive\n" {
		t.Errorf("got %+v", out)
	}
}

func TestAPoolIsScaledByAnAutoscaler(t *testing.T) {
	t.Parallel()
	admin := sandboxUser(t)
	addPool(t, admin, admin.Namespace, 1)
	kubectl(t, "", "scale", "warmpool", "pool", "--namespace", admin.Namespace, "--replicas=2")
	full(t, admin, 2)
	if _, err := kube.AutoscalingV1().HorizontalPodAutoscalers(admin.Namespace).Create(t.Context(), &autoscalingv1.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "pool"},
		Spec: autoscalingv1.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv1.CrossVersionObjectReference{APIVersion: v1.SchemeGroupVersion.String(), Kind: "WarmPool", Name: "pool"},
			MinReplicas:    ptr.To[int32](3), MaxReplicas: 5,
		},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	full(t, admin, 3)
	eventually(t, time.Minute, func(ctx context.Context) error {
		events, err := kube.CoreV1().Events(admin.Namespace).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.kind=WarmPool"})
		if err == nil && len(events.Items) == 0 {
			err = fmt.Errorf("no event tells of the pool")
		}
		return err
	})
}
