// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetessandbox

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/launcher"
)

func specOf(change func(*launcher.PodSpec)) launcher.PodSpec {
	spec := launcher.PodSpec{
		Name: "one-12345678", Namespace: "agents",
		Owner: launcher.Owner{Kind: launcher.OwnerSandbox, Namespace: "agents", Name: "one", UID: "uid-of-one"},
		Image: "registry.example.org/python:3.11", Language: "python", Version: "3.11",
		SecurityLevel: llmsafespacev1.SecurityStandard,
		Resources: llmsafespacev1.Resources{
			CPU: ptr.To(resource.MustParse("500m")), Memory: ptr.To(resource.MustParse("512Mi")), EphemeralStorage: ptr.To(resource.MustParse("1Gi")),
		},
		Filesystem: llmsafespacev1.Filesystem{ReadOnlyRoot: ptr.To(true), WritablePaths: []string{"/tmp", "/workspace"}},
		SecurityContext: llmsafespacev1.SecurityContext{
			RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](1000), RunAsGroup: ptr.To[int64](1000),
			SeccompProfile: &llmsafespacev1.SeccompProfile{Type: llmsafespacev1.SeccompRuntimeDefault},
		},
	}
	if change != nil {
		change(&spec)
	}
	return spec
}

func podOf(change func(*launcher.PodSpec)) *corev1.Pod {
	return template{
		gatewayIP: "10.96.0.7", gatewayHost: "gateway.safebeam.test", gatewayPort: 7445, gatewayCA: []byte("CA"),
		agentImage: "registry.example.org/sandboxd:1", runtimeClass: "gvisor", pidsLimit: 512,
	}.pod(specOf(change))
}

// The table of api.md, and security.md's promises on what a pod has.
func TestEveryPodIsRestricted(t *testing.T) {
	t.Parallel()
	for level, change := range map[string]func(*launcher.PodSpec){
		"standard": nil,
		"high":     func(s *launcher.PodSpec) { s.SecurityLevel = llmsafespacev1.SecurityHigh },
		"custom": func(s *launcher.PodSpec) {
			s.SecurityLevel = llmsafespacev1.SecurityCustom
			s.Filesystem.ReadOnlyRoot = ptr.To(false)
			s.SecurityContext.SeccompProfile = &llmsafespacev1.SeccompProfile{Type: llmsafespacev1.SeccompLocalhost, LocalhostProfile: "profiles/strict.json"}
			s.SecurityContext.RunAsUser = ptr.To[int64](4711)
		},
		"warm": func(s *launcher.PodSpec) { s.Owner.Kind = launcher.OwnerWarmPod },
	} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			pod := podOf(change)
			spec := pod.Spec
			if ptr.Deref(spec.AutomountServiceAccountToken, true) || ptr.Deref(spec.EnableServiceLinks, true) {
				t.Error("the pod has a token of the cluster or service links")
			}
			if spec.HostNetwork || spec.HostPID || spec.HostIPC || spec.NodeName != "" || spec.ServiceAccountName != "" {
				t.Error("the pod shares something with its node")
			}
			security := spec.SecurityContext
			if !ptr.Deref(security.RunAsNonRoot, false) || ptr.Deref(security.RunAsUser, 0) == 0 || security.SeccompProfile == nil || security.SeccompProfile.Type == corev1.SeccompProfileTypeUnconfined {
				t.Errorf("the pod's security context is %+v", security)
			}
			if spec.RestartPolicy != corev1.RestartPolicyNever || *spec.TerminationGracePeriodSeconds > 1 {
				t.Error("the pod would be started again, or is slow to go")
			}
			for _, container := range slices.Concat(spec.InitContainers, spec.Containers) {
				c := container.SecurityContext
				if ptr.Deref(c.AllowPrivilegeEscalation, true) || ptr.Deref(c.Privileged, false) || !slices.Equal(c.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(c.Capabilities.Add) > 0 {
					t.Errorf("container %s: %+v", container.Name, c)
				}
				for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
					limit, request := container.Resources.Limits[name], container.Resources.Requests[name]
					if limit.IsZero() || limit.Cmp(request) != 0 {
						t.Errorf("container %s: %s is requested as %s and limited to %s", container.Name, name, request.String(), limit.String())
					}
				}
				if len(container.Env) > 0 || len(container.EnvFrom) > 0 || len(container.Ports) > 0 {
					t.Errorf("container %s has an environment or ports", container.Name)
				}
			}
			for _, volume := range spec.Volumes {
				if volume.Secret != nil || volume.HostPath != nil || volume.ConfigMap != nil || volume.CSI != nil {
					t.Errorf("volume %s is %+v", volume.Name, volume.VolumeSource)
				}
				if volume.Projected == nil {
					continue
				}
				for _, source := range volume.Projected.Sources {
					if token := source.ServiceAccountToken; token != nil && token.Audience != "sandbox.gateway.safebeam.dev" {
						t.Errorf("the token is for %q", token.Audience)
					}
					if source.Secret != nil || source.ConfigMap != nil || source.ClusterTrustBundle != nil {
						t.Errorf("projected: %+v", source)
					}
				}
			}
			if pod.Labels[LabelType] != TypeSandbox {
				t.Error("no NetworkPolicy selects the pod")
			}
		})
	}
}

func TestEveryFieldHasItsEffectOnThePod(t *testing.T) {
	t.Parallel()
	mount := func(pod *corev1.Pod, path string) *corev1.Volume {
		for _, m := range pod.Spec.Containers[0].VolumeMounts {
			if m.MountPath != path {
				continue
			}
			for i := range pod.Spec.Volumes {
				if pod.Spec.Volumes[i].Name == m.Name {
					return &pod.Spec.Volumes[i]
				}
			}
		}
		return nil
	}
	argument := func(pod *corev1.Pod, wanted string) bool { return slices.Contains(pod.Spec.Containers[0].Args, wanted) }
	for _, tc := range []struct {
		name   string
		change func(*launcher.PodSpec)
		shows  func(*corev1.Pod) bool
	}{
		{"image", func(s *launcher.PodSpec) { s.Image = "other:1" }, func(p *corev1.Pod) bool { return p.Spec.Containers[0].Image == "other:1" }},
		{"securityLevel high", func(s *launcher.PodSpec) { s.SecurityLevel = llmsafespacev1.SecurityHigh }, func(p *corev1.Pod) bool { return ptr.Deref(p.Spec.RuntimeClassName, "") == "gvisor" }},
		{"cpu", func(s *launcher.PodSpec) { s.Resources.CPU = ptr.To(resource.MustParse("2")) }, func(p *corev1.Pod) bool { return p.Spec.Containers[0].Resources.Limits.Cpu().String() == "2" }},
		{"memory", func(s *launcher.PodSpec) { s.Resources.Memory = ptr.To(resource.MustParse("1Gi")) }, func(p *corev1.Pod) bool {
			return p.Spec.Containers[0].Resources.Limits.Memory().String() == "1Gi" && argument(p, "--memory-limit=1073741824")
		}},
		{"ephemeralStorage", func(s *launcher.PodSpec) { s.Resources.EphemeralStorage = ptr.To(resource.MustParse("3Gi")) }, func(p *corev1.Pod) bool {
			return mount(p, "/tmp").EmptyDir.SizeLimit.String() == "3Gi" && p.Spec.Containers[0].Resources.Limits.StorageEphemeral().String() == "3Gi"
		}},
		{"readOnlyRoot", func(s *launcher.PodSpec) { s.Filesystem.ReadOnlyRoot = ptr.To(false) }, func(p *corev1.Pod) bool { return !*p.Spec.Containers[0].SecurityContext.ReadOnlyRootFilesystem }},
		{"writablePaths", func(s *launcher.PodSpec) { s.Filesystem.WritablePaths = []string{"/data"} }, func(p *corev1.Pod) bool {
			return mount(p, "/data") != nil && mount(p, "/tmp") == nil && argument(p, "--writable-path=/data") && argument(p, "--env=HOME=/data")
		}},
		{"storage", func(s *launcher.PodSpec) {
			s.Storage = &llmsafespacev1.Storage{Persistent: true, VolumeSize: ptr.To(resource.MustParse("5Gi"))}
		}, func(p *corev1.Pod) bool {
			claim := mount(p, "/workspace").PersistentVolumeClaim
			return claim != nil && claim.ClaimName == "sandbox-uid-of-one"
		}},
		{"runAsUser", func(s *launcher.PodSpec) { s.SecurityContext.RunAsUser = ptr.To[int64](7) }, func(p *corev1.Pod) bool { return *p.Spec.SecurityContext.RunAsUser == 7 }},
		{"runAsGroup", func(s *launcher.PodSpec) { s.SecurityContext.RunAsGroup = ptr.To[int64](8) }, func(p *corev1.Pod) bool {
			return *p.Spec.SecurityContext.RunAsGroup == 8 && *p.Spec.SecurityContext.FSGroup == 8
		}},
		{"seccompProfile", func(s *launcher.PodSpec) {
			s.SecurityContext.SeccompProfile = &llmsafespacev1.SeccompProfile{Type: llmsafespacev1.SeccompLocalhost, LocalhostProfile: "a.json"}
		}, func(p *corev1.Pod) bool {
			return ptr.Deref(p.Spec.SecurityContext.SeccompProfile.LocalhostProfile, "") == "a.json"
		}},
		{"egress", func(s *launcher.PodSpec) {
			s.NetworkAccess = &llmsafespacev1.NetworkAccess{Egress: []llmsafespacev1.NetworkRule{{CIDR: "192.0.2.0/24"}}}
		}, func(p *corev1.Pod) bool { return p.Spec.DNSPolicy == corev1.DNSClusterFirst }},
		{"labels", func(s *launcher.PodSpec) { s.Labels = map[string]string{"team": "a", LabelType: "other"} }, func(p *corev1.Pod) bool { return p.Labels["team"] == "a" && p.Labels[LabelType] == TypeSandbox }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if tc.shows(podOf(nil)) && tc.name != "labels" {
				t.Fatal("the pod shows it without the field")
			}
			if !tc.shows(podOf(tc.change)) {
				t.Errorf("%+v", podOf(tc.change).Spec)
			}
		})
	}
}

func TestAPodThatMayReachNothingHasNoResolver(t *testing.T) {
	t.Parallel()
	pod := podOf(nil)
	if pod.Spec.DNSPolicy != corev1.DNSNone || !slices.Equal(pod.Spec.DNSConfig.Nameservers, []string{"127.0.0.1"}) {
		t.Errorf("%s, %+v", pod.Spec.DNSPolicy, pod.Spec.DNSConfig)
	}
	if !slices.Contains(pod.Spec.Containers[0].Args, "--gateway=10.96.0.7:7445") || !slices.Contains(pod.Spec.Containers[0].Args, "--server-name=gateway.safebeam.test") {
		t.Errorf("sandboxd is told %v", pod.Spec.Containers[0].Args)
	}
}

func TestProcessesStartInTheWorkspace(t *testing.T) {
	t.Parallel()
	var paths []string
	for _, argument := range podOf(nil).Spec.Containers[0].Args {
		if path, ok := strings.CutPrefix(argument, "--writable-path="); ok {
			paths = append(paths, path)
		}
	}
	if !slices.Equal(paths, []string{"/workspace", "/tmp"}) {
		t.Errorf("writable paths are %v", paths)
	}
}

// The watch sees the pods of all namespaces, and with a pod whose sandbox is gone
// the sandbox's volume goes: somebody who may create pods in a namespace of their
// own must not name the sandbox of another one.
func TestAPodIsOfAnOwnerOfItsOwnNamespace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*corev1.Pod)
		ours   bool
	}{
		"as it is made":               {func(*corev1.Pod) {}, true},
		"copied to another namespace": {func(p *corev1.Pod) { p.Namespace = "elsewhere" }, false},
		"without an owner":            {func(p *corev1.Pod) { p.Annotations = nil }, false},
		"of nobody in particular": {func(p *corev1.Pod) {
			p.Annotations[annotationOwner] = `{"kind":"Sandbox","namespace":"agents","name":"one"}`
		}, false},
		"of another kind": {func(p *corev1.Pod) {
			p.Annotations[annotationOwner] = `{"kind":"Job","namespace":"agents","name":"one","uid":"u"}`
		}, false},
	} {
		pod := podOf(nil)
		c.change(pod)
		if owner, ours := ownerOf(pod); ours != c.ours {
			t.Errorf("%s: %+v, %v", name, owner, ours)
		}
	}
}

func TestThePodOfAnotherNamespacesSandboxIsNotSeen(t *testing.T) {
	t.Parallel()
	forged := podOf(nil)
	forged.Namespace, forged.UID = "elsewhere", "forged"
	w := begin(t, forged)
	if pods := w.Pods(); len(pods) != 0 {
		t.Errorf("seen: %+v", pods)
	}
	if pod, ok := w.Pod("elsewhere", forged.Name); ok {
		t.Errorf("seen: %+v", pod)
	}
}
