// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/test/sandboxes"
)

// A node that is not heard of any more loses its pods to the taint that says so, and
// its sandboxes say so at once, though nobody has ended their pods: the kubelet,
// who would, is held.
//
// The node controller itself taints no node where all are lost, and this cluster has
// one; so the test does it, with a taint that all pods but the sandbox's tolerate.
func TestASandboxOfALostNodeSaysSo(t *testing.T) {
	onNode(t)
	user := sandboxUser(t)
	sandbox := user.Running(t, "box", small)
	user.Start(t, "work", v1.ExecutionSpec{Sandbox: "box", Command: []string{"sleep", "1000"}, TimeoutSeconds: ptr.To[int32](3600)})
	user.Sh(t, "box", "true") // it is connected
	lost := corev1.Taint{Key: "e2e.safebeam.dev/lost", Effect: corev1.TaintEffectNoExecute}
	tolerate(t, lost, podOf(t, sandbox))

	kubelet := daemon(t, "kubelet")
	resume := func() { _ = syscall.Kill(kubelet, syscall.SIGCONT) }
	t.Cleanup(resume)
	if err := syscall.Kill(kubelet, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	taint := lost.ToString()
	t.Cleanup(func() {
		_, _ = tryKubectl(context.WithoutCancel(t.Context()), "", "taint", "node", sandbox.Status.NodeName, taint+"-")
	})
	kubectl(t, "", "taint", "node", sandbox.Status.NodeName, taint)

	status := user.Until(t, "box", v1.SandboxLost, v1.SandboxFailed, v1.SandboxTerminated).Status
	if status.Phase != v1.SandboxLost || status.Reason != "NodeLost" || !strings.Contains(status.Message, sandbox.Status.NodeName) {
		t.Errorf("%s, %s: %s", status.Phase, status.Reason, status.Message)
	}
	if status := user.Ended(t, "work").Status; status.Phase != v1.ExecutionLost || status.Reason != "NodeLost" {
		t.Errorf("its execution: %s, %s: %s", status.Phase, status.Reason, status.Message)
	}
	// What may still run there is not spoken with any more.
	if output, err := user.Exec(t.Context(), "box", sandboxes.Command{Argv: []string{"true"}}); err == nil {
		t.Errorf("exec in a lost sandbox works: %+v", output)
	}
	if pod := podOf(t, sandbox); pod.DeletionTimestamp == nil || pod.Status.Phase != corev1.PodRunning {
		t.Errorf("its pod is %s, to be deleted at %v: it was to be lost while it runs", pod.Status.Phase, pod.DeletionTimestamp)
	}
	resume()
	kubectl(t, "", "taint", "node", sandbox.Status.NodeName, taint+"-")
	noPods(t, user.Namespace)
}

// tolerate has all pods of the cluster stay but one.
func tolerate(t *testing.T, taint corev1.Taint, but *corev1.Pod) {
	t.Helper()
	pods, err := kube.CoreV1().Pods(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods.Items {
		if pod.UID == but.UID {
			continue
		}
		err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
			now, err := kube.CoreV1().Pods(pod.Namespace).Get(t.Context(), pod.Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			now.Spec.Tolerations = append(now.Spec.Tolerations, corev1.Toleration{Key: taint.Key, Operator: corev1.TolerationOpExists, Effect: taint.Effect})
			_, err = kube.CoreV1().Pods(pod.Namespace).Update(t.Context(), now, metav1.UpdateOptions{})
			return err
		})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(fmt.Errorf("pod %s/%s: %w", pod.Namespace, pod.Name, err))
		}
	}
}
