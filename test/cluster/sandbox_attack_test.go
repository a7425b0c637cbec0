// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"safebeam.dev/safebeam/test/sandboxes"

	clientset "k8s.io/client-go/kubernetes"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// What a guest may reach: nothing. A pod without the label shows that it is all
// there to be reached.
func TestGuestsOfPodsStayInside(t *testing.T) {
	t.Parallel()
	user := sandboxUser(t)
	guest := user.Running(t, "guest", small)
	other := user.Running(t, "other", small)
	service, err := kube.CoreV1().Services("default").Get(t.Context(), "kubernetes", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	dns, err := kube.CoreV1().Services("kube-system").Get(t.Context(), "kube-dns", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	gateway, err := kube.CoreV1().Services(system).Get(t.Context(), "safebeam-gateway", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	apiserver, err := kube.CoreV1().Services(system).Get(t.Context(), "safebeam-apiserver", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	node := podOf(t, guest).Status.HostIP
	targets := []string{
		service.Spec.ClusterIP + ":443", node + ":6443", node + ":10250", node + ":22",
		dns.Spec.ClusterIP + ":53", "169.254.169.254:80", "1.1.1.1:443",
		other.Status.PodIP + ":80", other.Status.PodIP + ":7445",
		gateway.Spec.ClusterIP + ":7444", apiserver.Spec.ClusterIP + ":443",
	}
	user.AttackNetwork(t, "guest", sandboxes.Network{Targets: targets, Names: []string{"kubernetes.default.svc.cluster.local", "example.com"}}, false)
	if local {
		t.Run("without the label all that is there to be reached", func(t *testing.T) {
			free := said(t, probe(t, user.Namespace, "free", nil, "dial", service.Spec.ClusterIP+":443", dns.Spec.ClusterIP+":53", gateway.Spec.ClusterIP+":7444"))
			for _, address := range []string{service.Spec.ClusterIP + ":443", dns.Spec.ClusterIP + ":53", gateway.Spec.ClusterIP + ":7444"} {
				if !strings.Contains(free, "open "+address+"\n") {
					t.Errorf("%s cannot be reached by anybody: the probes above cannot fail", address)
				}
			}
		})
	}
	user.AttackEscapes(t, "guest")
	user.AttackPaths(t, "guest")
	t.Run("the token is worth nothing", func(t *testing.T) {
		token := strings.TrimSpace(user.Sh(t, "guest", "cat /run/safebeam/gateway/token").Stdout)
		if strings.Count(token, ".") != 2 {
			t.Fatalf("the token is %.20q: this test cannot fail", token)
		}
		stolen := &rest.Config{Host: config.Host, TLSClientConfig: rest.TLSClientConfig{CAData: config.CAData, CAFile: config.CAFile}, BearerToken: token}
		client, err := clientset.NewForConfig(stolen)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.CoreV1().Pods(user.Namespace).List(t.Context(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
			t.Errorf("kube-apiserver says %v", err)
		}
		if _, err := sandboxes.NewUser(t, stolen, user.Namespace).Client.LlmsafespaceV1().Sandboxes(user.Namespace).List(t.Context(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
			t.Errorf("our API says %v", err)
		}
		// In another sandbox, with sandboxd itself.
		script := fmt.Sprintf("printf %%s '%s' > /tmp/token; timeout 15 /run/safebeam/bin/sandboxd $(tr '\\0' '\\n' < /proc/1/cmdline | grep -e '^--gateway=' -e '^--server-name=' -e '^--ca-file=') --token-file=/tmp/token --writable-path=/tmp 2>&1; echo exit $?", token)
		if output := user.Sh(t, "other", script); !strings.Contains(output.Stdout, "DUPLICATE") {
			t.Errorf("a second agent says %q", output.Stdout)
		}
		if alive := user.Sh(t, "guest", "echo alive"); alive.Stdout != "alive\n" {
			t.Errorf("the first says %q", alive.Stdout)
		}
	})
}

// An egress rule opens what it names, DNS with it, and nothing else.
func TestEgressRulesOpenWhatTheyName(t *testing.T) {
	needCluster(t)
	if !local {
		t.Skip("gives addresses to a pod from the node: on hack/cluster only")
	}
	t.Parallel()
	user := sandboxUser(t)
	target := probe(t, user.Namespace, "target", nil, "listen", "443", "8080")
	answerOn(t, target, "203.0.113.8")
	user.Running(t, "opened", small, func(s *v1.SandboxSpec) {
		s.NetworkAccess = &v1.NetworkAccess{Egress: []v1.NetworkRule{{CIDR: "203.0.113.8/32", Ports: []v1.NetworkPort{{Port: 8080, Protocol: corev1.ProtocolTCP}}}}}
	})
	reach := "import socket; socket.create_connection(('%s', %d), timeout=3); print('reached')"
	if output, err := user.Exec(t.Context(), "opened", sandboxes.Command{Argv: []string{"python3", "-c", fmt.Sprintf(reach, "203.0.113.8", 8080)}}); err != nil || output.Stdout != "reached\n" {
		t.Errorf("what was named: %+v, %v", output, err)
	}
	user.AttackNetwork(t, "opened", sandboxes.Network{Targets: []string{"203.0.113.8:443", target.Status.PodIP + ":8080", "169.254.169.254:80"}}, false)
	if output, err := user.Exec(t.Context(), "opened", sandboxes.Command{Argv: []string{"python3", "-c", "import socket; print(socket.gethostbyname('kubernetes.default.svc.cluster.local'))"}}); err != nil || output.Code != 0 {
		t.Errorf("DNS: %+v, %v", output, err)
	}
}

func TestIngressIsFromTheSameNamespaceAlone(t *testing.T) {
	needCluster(t)
	if !local {
		t.Skip("needs the tests' own images")
	}
	t.Parallel()
	user := sandboxUser(t)
	elsewhere := closedNamespace(t)
	var addresses []string
	for _, name := range []string{"open", "shut"} {
		user.Running(t, name, small, func(s *v1.SandboxSpec) { s.NetworkAccess = &v1.NetworkAccess{Ingress: name == "open"} })
		user.Sh(t, name, "python3 -m http.server 8000 >/dev/null 2>&1 & for i in 1 2 3 4 5 6 7 8 9 10; do python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 8000))' 2>/dev/null && break; sleep 0.2; done")
		sandbox := user.UntilTrue(t, name, "addressed", func(s *v1.Sandbox) bool { return s.Status.PodIP != "" })
		if (sandbox.Status.Endpoint != "") != (name == "open") {
			t.Errorf("%s has the endpoint %q", name, sandbox.Status.Endpoint)
		}
		addresses = append(addresses, sandbox.Status.PodIP+":8000")
	}
	near := said(t, probe(t, user.Namespace, "near", nil, append([]string{"dial"}, addresses...)...))
	far := said(t, probe(t, elsewhere, "far", nil, append([]string{"dial"}, addresses...)...))
	if !strings.Contains(near, "open "+addresses[0]+"\n") || strings.Contains(near, "open "+addresses[1]+"\n") {
		t.Errorf("from the same namespace: %s", near)
	}
	if strings.Contains(far, "open ") {
		t.Errorf("from another namespace: %s", far)
	}
}

// The controller, taken over, makes no pod that is worth anything.
func TestTheControllerMakesSandboxPodsAndNoOthers(t *testing.T) {
	t.Parallel()
	user := sandboxUser(t)
	sandbox := user.Running(t, "model", small)
	pod := podOf(t, sandbox)
	pristine := func() *corev1.Pod {
		made := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "forged", Labels: pod.Labels, Annotations: pod.Annotations, OwnerReferences: pod.OwnerReferences}, Spec: *pod.Spec.DeepCopy()}
		made.Spec.NodeName, made.Spec.ServiceAccountName, made.Spec.DeprecatedServiceAccount = "", "", ""
		made.Spec.Priority, made.Spec.PreemptionPolicy = nil, nil
		return made
	}
	impersonated := rest.CopyConfig(config)
	impersonated.Impersonate.UserName = controller
	client, err := clientset.NewForConfig(impersonated)
	if err != nil {
		t.Fatal(err)
	}
	dryRun := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	if _, err := client.CoreV1().Pods(user.Namespace).Create(t.Context(), pristine(), dryRun); err != nil {
		t.Fatalf("what it makes itself is refused: %v", err)
	}
	for name, change := range map[string]func(*corev1.Pod){
		"a Secret": func(p *corev1.Pod) {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "s", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}}})
		},
		"a projected Secret": func(p *corev1.Pod) {
			for i := range p.Spec.Volumes {
				if p.Spec.Volumes[i].Projected != nil {
					p.Spec.Volumes[i].Projected.Sources = append(p.Spec.Volumes[i].Projected.Sources, corev1.VolumeProjection{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}}})
				}
			}
		},
		"a token for another audience": func(p *corev1.Pod) {
			for i := range p.Spec.Volumes {
				if p.Spec.Volumes[i].Projected != nil {
					p.Spec.Volumes[i].Projected.Sources[0].ServiceAccountToken.Audience = "https://kubernetes.default.svc.cluster.local"
				}
			}
		},
		"a ConfigMap": func(p *corev1.Pod) {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "c", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "c"}}}})
		},
		"another ServiceAccount": func(p *corev1.Pod) { p.Spec.ServiceAccountName = "admin" },
		"the default token":      func(p *corev1.Pod) { p.Spec.AutomountServiceAccountToken = ptr.To(true) },
		"another program":        func(p *corev1.Pod) { p.Spec.Containers[0].Command = []string{"sh", "-c", "id"} },
		"another agent":          func(p *corev1.Pod) { p.Spec.InitContainers[0].Image = "evil:1" },
		"an environment from a Secret": func(p *corev1.Pod) {
			p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}}}}
		},
		"no label": func(p *corev1.Pod) { p.Labels = map[string]string{"llmsafespace.dev/type": "other"} },
		"nobody's": func(p *corev1.Pod) { p.OwnerReferences = nil },
		"a second container": func(p *corev1.Pod) {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "x", Image: "x:1"})
		},
		"root":               func(p *corev1.Pod) { p.Spec.SecurityContext.RunAsNonRoot = ptr.To(false) },
		"the node's network": func(p *corev1.Pod) { p.Spec.HostNetwork = true },
		"the node's files": func(p *corev1.Pod) {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "h", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}})
		},
		"a capability": func(p *corev1.Pod) {
			p.Spec.Containers[0].SecurityContext.Capabilities.Add = []corev1.Capability{"NET_RAW"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			made := pristine()
			change(made)
			if _, err := client.CoreV1().Pods(user.Namespace).Create(t.Context(), made, dryRun); err == nil {
				t.Error("it is let in")
			} else if !strings.Contains(err.Error(), "safebeam-controller") && !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) {
				t.Errorf("it is refused for another reason: %v", err)
			}
		})
	}
}
