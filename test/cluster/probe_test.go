// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// probe runs the program of ./probe in a pod, and returns once it runs or has
// ended. change, if there is one, makes the pod another than the plain one.
func probe(t *testing.T, namespace, name string, change func(*corev1.Pod), arguments ...string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{
			RestartPolicy:                 corev1.RestartPolicyNever,
			TerminationGracePeriodSeconds: ptr.To[int64](0),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](65532), RunAsGroup: ptr.To[int64](65532),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "probe", Image: "localhost/probe:dev", Args: arguments,
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: ptr.To(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
	if change != nil {
		change(pod)
	}
	if _, err := kube.CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var now *corev1.Pod
	eventually(t, 60*time.Second, func(ctx context.Context) (err error) {
		now, err = kube.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil && (now.Status.Phase == corev1.PodPending || now.Status.PodIP == "") {
			err = fmt.Errorf("pod %s is %s", name, now.Status.Phase)
		}
		return err
	})
	return now
}

// said waits for a probe's end and returns its output.
func said(t *testing.T, pod *corev1.Pod) string {
	t.Helper()
	eventually(t, 60*time.Second, func(ctx context.Context) error {
		now, err := kube.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
		if err == nil && now.Status.Phase == corev1.PodRunning {
			err = fmt.Errorf("pod %s still runs", pod.Name)
		}
		return err
	})
	return kubectl(t, "", "-n", pod.Namespace, "logs", pod.Name)
}
