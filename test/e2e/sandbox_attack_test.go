// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/test/sandboxes"
)

func TestGuestsStayInside(t *testing.T) {
	t.Parallel()
	s, user := sandboxServer(t)
	user.Running(t, "guest")
	host := strings.TrimPrefix(s.Config.Host, "https://")
	targets := []string{host, "169.254.169.254:80", "1.1.1.1:53", "10.96.0.1:443"}
	// The machine's own addresses: a network that is merely filtered would reply.
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(host)
	for _, address := range addresses {
		if ip, _, err := net.ParseCIDR(address.String()); err == nil && ip.To4() != nil && !ip.IsLoopback() {
			targets = append(targets, net.JoinHostPort(ip.String(), port))
		}
	}
	// Its own loopback refuses, since nobody listens there: that is no reply of the
	// machine's.
	user.AttackNetwork(t, "guest", sandboxes.Network{Targets: targets, Names: []string{"example.com", "metadata.google.internal"}}, false)
	t.Run("interfaces", func(t *testing.T) {
		if output := user.Sh(t, "guest", "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '"); output.Stdout != "lo\n" {
			t.Errorf("it has %q", output.Stdout)
		}
	})
	user.AttackEscapes(t, "guest")
	user.AttackPaths(t, "guest")
}

func TestNobodyWritesAStatusOrReachesAnotherNamespace(t *testing.T) {
	t.Parallel()
	_, user := sandboxServer(t)
	forged := sandboxes.New("forged")
	forged.Status = v1.SandboxStatus{Phase: v1.SandboxRunning, PodName: "other", PodNamespace: "kube-system", PodIP: "169.254.169.254", CreatedBy: "somebody"}
	created, err := user.Client.LlmsafespaceV1().Sandboxes(user.Namespace).Create(t.Context(), forged, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if status := created.Status; status.Phase != v1.SandboxPending || status.PodName != "" || status.PodIP != "" || status.CreatedBy == "somebody" {
		t.Errorf("the server took over %+v", status)
	}
	running := user.Until(t, "forged", v1.SandboxRunning)
	changed := running.DeepCopy()
	changed.Status.PodIP = "169.254.169.254"
	changed, err = user.Client.LlmsafespaceV1().Sandboxes(user.Namespace).Update(t.Context(), changed, metav1.UpdateOptions{})
	if err != nil || changed.Status.PodIP == "169.254.169.254" {
		t.Errorf("an update of the object: %+v, %v", changed.Status, err)
	}
	for _, change := range []func(*v1.SandboxSpec){
		func(s *v1.SandboxSpec) { s.SecurityLevel = v1.SecurityHigh },
		func(s *v1.SandboxSpec) { s.Runtime = "nodejs" },
		func(s *v1.SandboxSpec) { s.NetworkAccess = &v1.NetworkAccess{Ingress: true} },
	} {
		changed := running.DeepCopy()
		changed.ResourceVersion = ""
		change(&changed.Spec)
		if _, err := user.Client.LlmsafespaceV1().Sandboxes(user.Namespace).Update(t.Context(), changed, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) && !apierrors.IsConflict(err) {
			t.Errorf("the spec was changed: %v", err)
		}
	}
	other := sandboxes.NewUser(t, user.Config, "elsewhere")
	if _, err := other.Exec(t.Context(), "forged", sandboxes.Command{Argv: []string{"true"}}); err == nil {
		t.Error("a sandbox is reached from another namespace")
	}
	if _, err := other.Client.LlmsafespaceV1().Executions(other.Namespace).Create(t.Context(), &v1.Execution{
		ObjectMeta: metav1.ObjectMeta{Name: "from-elsewhere"}, Spec: v1.ExecutionSpec{Sandbox: "forged", Command: []string{"true"}},
	}, metav1.CreateOptions{}); !apierrors.IsInvalid(err) && !apierrors.IsNotFound(err) {
		t.Errorf("an execution of another namespace: %v", err)
	}
}
