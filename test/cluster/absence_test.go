// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// The namespace controller cannot know that a namespace is empty while an API
// is away. Its deletion goes on when we are back.
func TestNamespaceDeletionThatWaitedForUsEnds(t *testing.T) {
	needCluster(t)
	ns := namespace(t)
	echo(t, ns, `{}`)
	ended(t, say(t, ns, "x"), tightbeamv1.TurnSucceeded, 60*time.Second)

	scale := func(replicas string) {
		kubectl(t, "", "-n", system, "scale", "deployment", "safebeam-apiserver", "--replicas="+replicas)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		_, _ = tryKubectl(ctx, "", "-n", system, "scale", "deployment", "safebeam-apiserver", "--replicas=1")
	})
	before := serverPod(t)
	scale("0")
	kubectl(t, "", "-n", system, "wait", "--for=delete", "pod/"+before, patience)
	if err := kube.CoreV1().Namespaces().Delete(t.Context(), ns, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 90*time.Second, func(ctx context.Context) error {
		namespace, err := kube.CoreV1().Namespaces().Get(ctx, ns, metav1.GetOptions{})
		if err != nil {
			return err // gone: then it did not wait for us
		}
		for _, condition := range namespace.Status.Conditions {
			if condition.Type == "NamespaceDeletionDiscoveryFailure" && condition.Status == "True" {
				return nil
			}
		}
		return fmt.Errorf("it does not say that it waits for us: %+v", namespace.Status.Conditions)
	})
	time.Sleep(10 * time.Second) // tries that fail are further and further apart
	scale("1")
	kubectl(t, "", "wait", "--for=condition=Available", patience, "apiservice", "v1.tightbeam.dev")
	back := time.Now()
	inTime(t, 60*time.Second, func(ctx context.Context) error {
		_, err := kube.CoreV1().Namespaces().Get(ctx, ns, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("namespace %s is still there, %v", ns, err)
	})
	t.Logf("the deletion ended %v after our return", time.Since(back).Round(time.Millisecond))
}

// A kube-apiserver that does not serve an admission policy API which our
// libraries know, and would wait for before each write.
func TestWritesWorkWithoutThePolicyAPI(t *testing.T) {
	needCluster(t)
	if !local {
		t.Skip("restarts the kube-apiserver: on hack/cluster only")
	}
	ns := namespace(t)
	restart := func(flags string) {
		t.Helper()
		began := time.Now()
		step := func(what string) { t.Logf("%s after %v", what, time.Since(began).Round(time.Second)) }
		pid := daemon(t, "apiserver")
		// Asked nicely, it waits a minute for the requests of all.
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, 10*time.Second, func(context.Context) error {
			if syscall.Kill(pid, 0) == nil && !zombie(pid) {
				return fmt.Errorf("kube-apiserver %d still runs", pid)
			}
			return nil
		})
		up := exec.Command(filepath.Join(root, "hack/cluster/cluster"), "up")
		up.Env = append(os.Environ(), "K8S_CLUSTER_APISERVER_FLAGS="+flags)
		if out, err := up.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		step("kube-apiserver up")
		before := serverPod(t)
		if err := kube.CoreV1().Pods(system).Delete(t.Context(), before, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](1)}); err != nil {
			t.Fatal(err)
		}
		serverUp(t, before)
		step("our server up")
		kubectl(t, "", "-n", system, "rollout", "status", patience, "deployment", "safebeam-apiserver")
		step("rolled out")
	}
	const version = "admissionregistration.k8s.io/v1/"
	defer restart("")
	restart("--runtime-config=" + version + "mutatingadmissionpolicies=false," + version + "mutatingadmissionpolicybindings=false" +
		" --disable-admission-plugins=MutatingAdmissionPolicy")
	if served := kubectl(t, "", "api-resources", "--api-group=admissionregistration.k8s.io", "-o", "name"); strings.Contains(served, "mutatingadmissionpolicies") {
		t.Fatalf("this kube-apiserver serves it still:\n%s", served)
	}
	if said := kubectl(t, "", "-n", system, "logs", serverPod(t)); !strings.Contains(said, "Admission plugin left out") {
		t.Error("the server does not say that it left a plugin out")
	}
	echo(t, ns, `{}`)
	ended(t, say(t, ns, "x"), tightbeamv1.TurnSucceeded, 90*time.Second)
}

// zombie: it has ended and nobody has asked how.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}
