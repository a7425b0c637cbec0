// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
)

func quantity(s string) *resource.Quantity { return ptr.To(resource.MustParse(s)) }

func TestDefaults(t *testing.T) {
	t.Parallel()
	plain := func() *Sandbox {
		return &Sandbox{Spec: SandboxSpec{
			SecurityLevel: SecurityStandard, Timeout: ptr.To[int32](300), UseWarmPool: ptr.To(true), TTLSecondsAfterFinished: ptr.To[int32](3600),
			Resources:  &Resources{CPU: quantity("500m"), Memory: quantity("512Mi"), EphemeralStorage: quantity("1Gi")},
			Filesystem: &Filesystem{ReadOnlyRoot: ptr.To(true), WritablePaths: []string{"/tmp", "/workspace"}},
			SecurityContext: &SecurityContext{
				RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](1000), RunAsGroup: ptr.To[int64](1000),
				SeccompProfile: &SeccompProfile{Type: SeccompRuntimeDefault},
			},
		}}
	}
	profiled := func() *Sandbox {
		s := plain()
		s.Spec.ProfileRef = &ObjectReference{Name: "p"}
		s.Spec.SecurityLevel, s.Spec.Resources, s.Spec.Filesystem, s.Spec.SecurityContext.SeccompProfile = "", nil, nil, nil
		return s
	}
	with := func(s *Sandbox, change func(*SandboxSpec)) *Sandbox { change(&s.Spec); return s }
	for _, tc := range []struct {
		name        string
		given, want runtime.Object
	}{
		{"a sandbox", &Sandbox{}, plain()},
		{"a sandbox with some of everything",
			&Sandbox{Spec: SandboxSpec{
				Resources: &Resources{CPU: quantity("2")}, Filesystem: &Filesystem{WritablePaths: []string{"/data"}},
				NetworkAccess: &NetworkAccess{Egress: []NetworkRule{{CIDR: "192.0.2.0/24", Ports: []NetworkPort{{Port: 443}}}}},
			}},
			with(plain(), func(s *SandboxSpec) {
				s.Resources.CPU, s.Filesystem.WritablePaths = quantity("2"), []string{"/data"}
				s.NetworkAccess = &NetworkAccess{Egress: []NetworkRule{{CIDR: "192.0.2.0/24", Ports: []NetworkPort{{Port: 443, Protocol: "TCP"}}}}}
			})},
		{"a sandbox whose profile has not had its say", &Sandbox{Spec: SandboxSpec{ProfileRef: &ObjectReference{Name: "p"}}}, profiled()},
		{"a sandbox with a volume",
			&Sandbox{Spec: SandboxSpec{Storage: &Storage{Persistent: true}}},
			with(plain(), func(s *SandboxSpec) { s.Storage = &Storage{Persistent: true, VolumeSize: quantity("5Gi")} })},
		{"a sandbox without a volume",
			&Sandbox{Spec: SandboxSpec{Storage: &Storage{}}},
			with(plain(), func(s *SandboxSpec) { s.Storage = &Storage{} })},
		{"an execution", &Execution{}, &Execution{Spec: ExecutionSpec{WorkingDir: "/workspace", TimeoutSeconds: ptr.To[int32](30), TTLSecondsAfterFinished: ptr.To[int32](3600)}}},
		{"a pool",
			&WarmPool{Spec: WarmPoolSpec{AutoScaling: &AutoScaling{}}},
			&WarmPool{Spec: WarmPoolSpec{
				SecurityLevel: SecurityStandard, TTL: ptr.To[int32](3600),
				Resources:   &Resources{CPU: quantity("500m"), Memory: quantity("512Mi"), EphemeralStorage: quantity("1Gi")},
				AutoScaling: &AutoScaling{TargetUtilization: ptr.To[int32](80), ScaleDownDelay: ptr.To[int32](300)},
			}}},
		{"a pool whose pods live on", &WarmPool{Spec: WarmPoolSpec{TTL: ptr.To[int32](0), ProfileRef: &ObjectReference{Name: "p"}}},
			&WarmPool{Spec: WarmPoolSpec{TTL: ptr.To[int32](0), ProfileRef: &ObjectReference{Name: "p"}}}},
		{"a profile", &SandboxProfile{}, &SandboxProfile{Spec: SandboxProfileSpec{SecurityLevel: SecurityStandard}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			group.Scheme(t).Default(tc.given)
			if diff := cmp.Diff(tc.want, tc.given); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestProfileCompletesWhatDefaultsLeft(t *testing.T) {
	t.Parallel()
	sandbox := &Sandbox{Spec: SandboxSpec{ProfileRef: &ObjectReference{Name: "p"}}}
	group.Scheme(t).Default(sandbox)
	sandbox.Spec.Resources = &Resources{Memory: quantity("2Gi")} // the profile's say
	CompleteSandbox(&sandbox.Spec)
	if got := sandbox.Spec.Resources; got.Memory.String() != "2Gi" || got.CPU.String() != "500m" || len(sandbox.Spec.Filesystem.WritablePaths) != 2 {
		t.Errorf("got %+v", sandbox.Spec)
	}
}
