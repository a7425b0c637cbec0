// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

var spec = field.NewPath("spec")

func quantity(s string) *resource.Quantity { return ptr.To(resource.MustParse(s)) }

func profile() *v1.SandboxProfileSpec {
	return &v1.SandboxProfileSpec{
		Language: "python", SecurityLevel: v1.SecurityStandard, SeccompProfile: "profiles/data.json",
		NetworkPolicies: []v1.ProfileNetworkPolicy{{Type: v1.PolicyEgress, Rules: []v1.NetworkRule{
			{CIDR: "10.20.0.0/16", Ports: []v1.NetworkPort{{Port: 5432, Protocol: corev1.ProtocolTCP}}},
			{CIDR: "192.0.2.0/24"},
		}}},
		PreInstalledPackages: []string{"numpy"},
		ResourceDefaults:     &v1.Resources{CPU: quantity("1"), Memory: quantity("2Gi")},
		FilesystemConfig:     &v1.ProfileFilesystem{ReadOnlyPaths: []string{"/opt"}, WritablePaths: []string{"/workspace", "/data"}},
	}
}

func named() *v1.SandboxSpec {
	s := &v1.Sandbox{Spec: v1.SandboxSpec{Runtime: "python:3.11", ProfileRef: &v1.ObjectReference{Name: "data"}}}
	v1.SetObjectDefaults_Sandbox(s)
	return &s.Spec
}

func TestProfileFillsInWhatIsLeftOpen(t *testing.T) {
	t.Parallel()
	s := named()
	s.Resources = &v1.Resources{CPU: quantity("250m")}
	Apply(profile(), s)
	want := named()
	want.SecurityLevel = v1.SecurityStandard
	want.Resources = &v1.Resources{CPU: quantity("250m"), Memory: quantity("2Gi"), EphemeralStorage: quantity("1Gi")}
	want.Filesystem = &v1.Filesystem{ReadOnlyRoot: ptr.To(true), WritablePaths: []string{"/workspace", "/data"}}
	want.SecurityContext.SeccompProfile = &v1.SeccompProfile{Type: v1.SeccompLocalhost, LocalhostProfile: "profiles/data.json"}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Error(diff)
	}
	again := s.DeepCopy()
	Apply(profile(), again)
	if diff := cmp.Diff(s, again); diff != "" {
		t.Errorf("applied again it is another one:\n%s", diff)
	}
	if errs := HeldByProfile(profile(), s, spec); len(errs) > 0 {
		t.Errorf("what the profile makes loosens it: %v", errs)
	}
	high := profile()
	high.SecurityLevel = v1.SecurityHigh
	s = named()
	if Apply(high, s); s.SecurityLevel != v1.SecurityHigh {
		t.Errorf("the level is %s", s.SecurityLevel)
	}
}

func TestSandboxMayTightenAProfileAndNotLoosenIt(t *testing.T) {
	t.Parallel()
	egress := func(rules ...v1.NetworkRule) *v1.NetworkAccess { return &v1.NetworkAccess{Egress: rules} }
	port := func(n int32) []v1.NetworkPort {
		return []v1.NetworkPort{{Port: n, Protocol: corev1.ProtocolTCP}}
	}
	type S = *v1.SandboxSpec
	type P = *v1.SandboxProfileSpec
	for name, tc := range map[string]struct {
		sandbox func(S)
		profile func(P)
		field   string // empty: it is held
		says    string
	}{
		"nothing of its own":           {},
		"a higher level":               {sandbox: func(s S) { s.SecurityLevel = v1.SecurityHigh }},
		"a lower level":                {sandbox: func(s S) { s.SecurityLevel = v1.SecurityStandard }, profile: func(p P) { p.SecurityLevel = v1.SecurityHigh }, field: "spec.securityLevel", says: "at least high"},
		"the level of its own wishes":  {sandbox: func(s S) { s.SecurityLevel = v1.SecurityCustom }, field: "spec.securityLevel", says: "loosens"},
		"a custom profile's sandbox":   {sandbox: func(s S) { s.SecurityLevel = v1.SecurityCustom }, profile: func(p P) { p.SecurityLevel = v1.SecurityCustom }},
		"fewer paths":                  {sandbox: func(s S) { s.Filesystem = &v1.Filesystem{WritablePaths: []string{"/data/mine"}} }},
		"another path":                 {sandbox: func(s S) { s.Filesystem = &v1.Filesystem{WritablePaths: []string{"/tmp"}} }, field: "spec.filesystem.writablePaths[0]", says: "/workspace, /data"},
		"a path of which one is named": {sandbox: func(s S) { s.Filesystem = &v1.Filesystem{WritablePaths: []string{"/database"}} }, field: "spec.filesystem.writablePaths[0]", says: "not within"},
		"a read-only path":             {sandbox: func(s S) { s.Filesystem = &v1.Filesystem{WritablePaths: []string{"/opt/a"}} }, profile: func(p P) { p.FilesystemConfig.WritablePaths = nil }, field: "spec.filesystem.writablePaths[0]", says: "read-only"},
		"above a read-only path":       {sandbox: func(s S) { s.Filesystem = &v1.Filesystem{WritablePaths: []string{"/opt"}} }, profile: func(p P) { p.FilesystemConfig = &v1.ProfileFilesystem{ReadOnlyPaths: []string{"/opt/x"}} }, field: "spec.filesystem.writablePaths[0]", says: "overlaps"},
		"all of the root": {sandbox: func(s S) {
			s.SecurityLevel, s.Filesystem = v1.SecurityCustom, &v1.Filesystem{ReadOnlyRoot: ptr.To(false)}
		}, profile: func(p P) { p.SecurityLevel = v1.SecurityCustom }, field: "spec.filesystem.readOnlyRoot", says: "loosens"},
		"a part of a range": {sandbox: func(s S) { s.NetworkAccess = egress(v1.NetworkRule{CIDR: "10.20.30.0/24", Ports: port(5432)}) }},
		"the default port":  {sandbox: func(s S) { s.NetworkAccess = egress(v1.NetworkRule{CIDR: "192.0.2.7/32"}) }},
		"another port":      {sandbox: func(s S) { s.NetworkAccess = egress(v1.NetworkRule{CIDR: "10.20.0.0/16", Ports: port(22)}) }, field: "spec.networkAccess.egress[0]", says: "TCP 22"},
		"one port too many": {sandbox: func(s S) {
			s.NetworkAccess = egress(v1.NetworkRule{CIDR: "10.20.0.0/16", Ports: append(port(5432), port(22)...)})
		}, field: "spec.networkAccess.egress[0]", says: "TCP 22"},
		"the default port of a range of another": {sandbox: func(s S) { s.NetworkAccess = egress(v1.NetworkRule{CIDR: "10.20.0.0/16"}) }, field: "spec.networkAccess.egress[0]", says: "TCP 443"},
		"a wider range":                          {sandbox: func(s S) { s.NetworkAccess = egress(v1.NetworkRule{CIDR: "10.0.0.0/8", Ports: port(5432)}) }, field: "spec.networkAccess.egress[0]", says: "10.0.0.0/8"},
		"everything":                             {sandbox: func(s S) { s.NetworkAccess = egress(v1.NetworkRule{CIDR: "0.0.0.0/0", Ports: port(5432)}) }, field: "spec.networkAccess.egress[0]", says: "not opened"},
		"another family":                         {sandbox: func(s S) { s.NetworkAccess = egress(v1.NetworkRule{CIDR: "2001:db8::/32"}) }, field: "spec.networkAccess.egress[0]", says: "not opened"},
		"ingress":                                {sandbox: func(s S) { s.NetworkAccess = &v1.NetworkAccess{Ingress: true} }, field: "spec.networkAccess.ingress", says: "not opened"},
		"ingress by profile": {sandbox: func(s S) { s.NetworkAccess = &v1.NetworkAccess{Ingress: true} }, profile: func(p P) {
			p.NetworkPolicies = append(p.NetworkPolicies, v1.ProfileNetworkPolicy{Type: v1.PolicyIngress})
		}},
		"another seccomp": {sandbox: func(s S) { s.SecurityContext.SeccompProfile = &v1.SeccompProfile{Type: v1.SeccompRuntimeDefault} }, field: "spec.securityContext.seccompProfile", says: "profiles/data.json"},
		"a seccomp of its own": {sandbox: func(s S) {
			s.SecurityContext.SeccompProfile = &v1.SeccompProfile{Type: v1.SeccompLocalhost, LocalhostProfile: "mine"}
		}, profile: func(p P) { p.SeccompProfile = "" }, field: "spec.securityContext.seccompProfile", says: "names no"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, p := named(), profile()
			if tc.sandbox != nil {
				tc.sandbox(s)
			}
			if tc.profile != nil {
				tc.profile(p)
			}
			Apply(p, s)
			errs := HeldByProfile(p, s, spec)
			switch {
			case tc.field == "" && len(errs) > 0:
				t.Errorf("got %v", errs)
			case tc.field != "" && (len(errs) != 1 || errs[0].Field != tc.field || !strings.Contains(errs[0].Error(), tc.says)):
				t.Errorf("got %v, want %s with %q", errs, tc.field, tc.says)
			}
		})
	}
}

func TestWithoutAProfileNoFileOfTheNodeIsNamed(t *testing.T) {
	t.Parallel()
	s := &v1.SandboxSpec{SecurityLevel: v1.SecurityCustom, SecurityContext: &v1.SecurityContext{SeccompProfile: &v1.SeccompProfile{Type: v1.SeccompLocalhost, LocalhostProfile: "mine"}}}
	Apply(nil, s)
	if errs := HeldByProfile(nil, s, spec); len(errs) != 1 || errs[0].Field != "spec.securityContext.seccompProfile" {
		t.Errorf("got %v", errs)
	}
	s.SecurityContext.SeccompProfile = nil
	Apply(nil, s)
	if errs := HeldByProfile(nil, s, spec); len(errs) > 0 {
		t.Errorf("got %v", errs)
	}
}

func environment(name, language, version string, serves ...string) v1.RuntimeEnvironment {
	return v1.RuntimeEnvironment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.RuntimeEnvironmentSpec{Language: language, Version: version, ServesVersions: serves}}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	away := environment("a-away", "python", "3.11")
	there := environment("z-there", "python", "3.11")
	there.Status.Available = true
	all := []v1.RuntimeEnvironment{
		environment("python-3.12", "python", "3.12", "3.11", "3"), environment("python-3.11", "python", "3.11", "3.10", "3"),
		environment("node", "nodejs", "22"), environment("nothing", "scratch", ""),
	}
	for runtime, want := range map[string]string{
		"python:3.11": "python-3.11", "python:3.10": "python-3.11", "python:3": "python-3.11", "node": "node", "nodejs:22": "node",
		"python": "", "python:3.9": "", "nodejs:3.11": "", "nothing": "nothing",
	} {
		got := ""
		if found := Resolve(all, runtime); found != nil {
			got = found.Name
		}
		if got != want {
			t.Errorf("%s: %q, not %q", runtime, got, want)
		}
	}
	if found := Resolve([]v1.RuntimeEnvironment{away, there}, "python:3.11"); found.Name != "z-there" {
		t.Errorf("%s, though another one is available", found.Name)
	}
	if err := NotServed(all, "python:3.9", spec); !strings.Contains(err.Error(), "node (nodejs:22); nothing; python-3.11 (python:3.11, python:3.10, python:3)") {
		t.Error(err)
	}
	if err := NotServed(nil, "python:3.9", spec); !strings.Contains(err.Error(), "none at all") {
		t.Error(err)
	}
}

func TestRuntimeAndProfileFitTogether(t *testing.T) {
	t.Parallel()
	e := environment("python", "python", "3.11")
	for _, tc := range []struct {
		has, wanted []string
		missing     string
	}{
		{[]string{"numpy", "pandas"}, []string{"numpy"}, ""},
		{[]string{"numpy==2.1.0", "@types/node@22"}, []string{"numpy", "@types/node"}, ""},
		{[]string{"numpy"}, []string{"numpy==2.1.0"}, "numpy==2.1.0"},
		{[]string{"num"}, []string{"numpy", "pandas"}, "numpy, pandas"},
	} {
		p := profile()
		p.PreInstalledPackages, e.Spec.PreInstalledPackages = tc.wanted, tc.has
		errs := HeldTogether(p, &e, spec)
		if (len(errs) > 0) != (tc.missing != "") || len(errs) > 0 && !strings.HasSuffix(errs[0].Detail, ": "+tc.missing) {
			t.Errorf("%v of %v: %v", tc.wanted, tc.has, errs)
		}
	}
	other := profile()
	other.Language = "nodejs"
	if errs := HeldTogether(other, &e, spec); len(errs) != 1 || !strings.Contains(errs[0].Detail, "is for python, the profile for nodejs") {
		t.Errorf("%v", errs)
	}
	e.Spec.ResourceRequirements = &v1.RuntimeResources{MinCPU: quantity("1"), MinMemory: quantity("1Gi"), RecommendedCPU: quantity("2"), RecommendedMemory: quantity("4Gi")}
	if errs := HeldByRuntime(&e, &v1.Resources{CPU: quantity("500m"), Memory: quantity("512Mi")}, spec); len(errs) != 2 {
		t.Errorf("%v", errs)
	}
	e.Spec.SecurityFeatures = []string{"apparmor"}
	e.Status = v1.RuntimeEnvironmentStatus{LastValidated: &metav1.Time{}, Message: "no image"}
	if warnings := Warnings(&e, v1.SecurityHigh, &v1.Resources{CPU: quantity("1"), Memory: quantity("1Gi")}); len(warnings) != 4 {
		t.Errorf("%q", warnings)
	}
}
