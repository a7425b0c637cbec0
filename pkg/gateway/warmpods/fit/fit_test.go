// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package fit

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

func quantity(s string) *resource.Quantity { return ptr.To(resource.MustParse(s)) }

func environment() *v1.RuntimeEnvironment {
	return &v1.RuntimeEnvironment{ObjectMeta: metav1.ObjectMeta{Name: "python-3.11"}, Spec: v1.RuntimeEnvironmentSpec{
		Image: "python", Language: "python", Version: "3.11", ServesVersions: []string{"3.10"}, PackageManager: "pip",
	}}
}

func pool() *v1.WarmPool {
	p := &v1.WarmPool{ObjectMeta: metav1.ObjectMeta{Namespace: "warm-pools", Name: "python"}, Spec: v1.WarmPoolSpec{
		Runtime: "python:3.10", MinSize: 5,
		Resources: &v1.Resources{CPU: quantity("1"), Memory: quantity("1Gi"), EphemeralStorage: quantity("2Gi")},
	}}
	v1.SetObjectDefaults_WarmPool(p)
	return p
}

// sandbox is one that asks for nothing in particular.
func sandbox() *v1.Sandbox {
	s := &v1.Sandbox{ObjectMeta: metav1.ObjectMeta{Namespace: "agent-sandboxes", Name: "a"}, Spec: v1.SandboxSpec{Runtime: "python:3.10"}}
	v1.SetObjectDefaults_Sandbox(s)
	return s
}

func TestASandboxThatAsksForNothingInParticularFits(t *testing.T) {
	t.Parallel()
	if found := Fit(sandbox(), Design(pool(), environment(), nil)); len(found) > 0 {
		t.Errorf("got %v", found)
	}
}

func TestWhatIsAppliedAtTheBindForcesNothing(t *testing.T) {
	t.Parallel()
	s := sandbox()
	s.Spec.Env = []v1.EnvVar{{Name: "A", Value: "b"}}
	s.Spec.Timeout, s.Spec.IdleTimeout, s.Spec.TTLSecondsAfterFinished = ptr.To[int32](10), ptr.To[int32](5), ptr.To[int32](0)
	s.Spec.User = "somebody"
	s.Spec.Storage = &v1.Storage{}
	s.Spec.NetworkAccess = &v1.NetworkAccess{} // opens nothing
	s.Spec.Resources.Memory = quantity("64Mi")
	if found := Fit(s, Design(pool(), environment(), nil)); len(found) > 0 {
		t.Errorf("got %v", found)
	}
}

func TestWhatARunningPodCannotBecomeIsNamed(t *testing.T) {
	t.Parallel()
	open := &v1.NetworkAccess{Egress: []v1.NetworkRule{{CIDR: "192.0.2.0/24"}}}
	for name, c := range map[string]struct {
		sandbox func(*v1.Sandbox)
		pool    func(*v1.WarmPool)
		field   string
		says    string
	}{
		"more cpu":      {sandbox: func(s *v1.Sandbox) { s.Spec.Resources.CPU = quantity("1001m") }, field: "spec.resources.cpu", says: "the pod has 1"},
		"more memory":   {sandbox: func(s *v1.Sandbox) { s.Spec.Resources.Memory = quantity("2Gi") }, field: "spec.resources.memory", says: "1Gi"},
		"more disk":     {sandbox: func(s *v1.Sandbox) { s.Spec.Resources.EphemeralStorage = quantity("3Gi") }, field: "spec.resources.ephemeralStorage", says: "2Gi"},
		"another user":  {sandbox: func(s *v1.Sandbox) { s.Spec.SecurityContext.RunAsUser = ptr.To[int64](2000) }, field: "spec.securityContext.runAsUser", says: "2000 is asked and the pod runs as 1000"},
		"another group": {sandbox: func(s *v1.Sandbox) { s.Spec.SecurityContext.RunAsGroup = ptr.To[int64](2000) }, field: "spec.securityContext.runAsGroup", says: "2000"},
		"another filter": {sandbox: func(s *v1.Sandbox) {
			s.Spec.SecurityContext.SeccompProfile = &v1.SeccompProfile{Type: v1.SeccompLocalhost, LocalhostProfile: "p.json"}
		}, field: "spec.securityContext.seccompProfile", says: "Localhost p.json"},
		"a volume":        {sandbox: func(s *v1.Sandbox) { s.Spec.Storage = &v1.Storage{Persistent: true} }, field: "spec.storage.persistent", says: "volume"},
		"another path":    {sandbox: func(s *v1.Sandbox) { s.Spec.Filesystem.WritablePaths = []string{"/tmp", "/workspace", "/data"} }, field: "spec.filesystem.writablePaths", says: "/data"},
		"fewer paths":     {sandbox: func(s *v1.Sandbox) { s.Spec.Filesystem.WritablePaths = []string{"/tmp"} }, field: "spec.filesystem.writablePaths", says: "the pod has /tmp, /workspace"},
		"a writable root": {sandbox: func(s *v1.Sandbox) { s.Spec.Filesystem.ReadOnlyRoot = ptr.To(false) }, field: "spec.filesystem.readOnlyRoot", says: "false is asked"},
		"a network":       {sandbox: func(s *v1.Sandbox) { s.Spec.NetworkAccess = open }, field: "spec.networkAccess", says: "open to nothing"},
		"no network":      {pool: func(p *v1.WarmPool) { p.Spec.NetworkAccess = open }, field: "spec.networkAccess", says: "192.0.2.0/24 TCP 443"},
		"ingress":         {sandbox: func(s *v1.Sandbox) { s.Spec.NetworkAccess = &v1.NetworkAccess{Ingress: true} }, field: "spec.networkAccess", says: "nothing"},
		"a profile":       {sandbox: func(s *v1.Sandbox) { s.Spec.ProfileRef = &v1.ObjectReference{Name: "strict"} }, field: "spec.profileRef", says: "agent-sandboxes/strict is asked and the pod was made with none"},
		"no profile":      {pool: func(p *v1.WarmPool) { p.Spec.ProfileRef = &v1.ObjectReference{Name: "strict"} }, field: "spec.profileRef", says: "none is asked and the pod was made with warm-pools/strict"},
		"a profile's homonym": {
			sandbox: func(s *v1.Sandbox) { s.Spec.ProfileRef = &v1.ObjectReference{Name: "strict"} },
			pool:    func(p *v1.WarmPool) { p.Spec.ProfileRef = &v1.ObjectReference{Name: "strict"} },
			field:   "spec.profileRef", says: "warm-pools/strict",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, p := sandbox(), pool()
			if c.sandbox != nil {
				c.sandbox(s)
			}
			if c.pool != nil {
				c.pool(p)
			}
			found := Fit(s, Design(p, environment(), nil))
			if len(found) != 1 || found[0].Field != c.field || !strings.Contains(found[0].String(), c.says) {
				t.Errorf("got %v, want %s with %q", found, c.field, c.says)
			}
		})
	}
}

func TestTheSameNetworkFitsHoweverItIsWritten(t *testing.T) {
	t.Parallel()
	p, s := pool(), sandbox()
	p.Spec.NetworkAccess = &v1.NetworkAccess{Egress: []v1.NetworkRule{
		{CIDR: "192.0.2.0/24", Ports: []v1.NetworkPort{{Port: 443, Protocol: "TCP"}, {Port: 53, Protocol: "UDP"}}},
	}}
	s.Spec.NetworkAccess = &v1.NetworkAccess{Egress: []v1.NetworkRule{
		{CIDR: "192.0.2.0/24", Ports: []v1.NetworkPort{{Port: 53, Protocol: "UDP"}}}, {CIDR: "192.0.2.0/24"},
	}}
	if found := Fit(s, Design(p, environment(), nil)); len(found) > 0 {
		t.Errorf("got %v", found)
	}
}

func TestASandboxOfThePoolsProfileFits(t *testing.T) {
	t.Parallel()
	profile := &v1.SandboxProfile{Spec: v1.SandboxProfileSpec{
		Language: "python", SeccompProfile: "python.json",
		FilesystemConfig: &v1.ProfileFilesystem{WritablePaths: []string{"/data"}},
	}}
	p, s := pool(), sandbox()
	p.Spec.SecurityLevel = v1.SecurityCustom
	p.Spec.ProfileRef = &v1.ObjectReference{Name: "data"}
	s.Spec.ProfileRef = &v1.ObjectReference{Name: "data", Namespace: "warm-pools"}
	// What the server makes of it by the profile.
	s.Spec.Filesystem.WritablePaths = []string{"/data"}
	s.Spec.SecurityContext.SeccompProfile = &v1.SeccompProfile{Type: v1.SeccompLocalhost, LocalhostProfile: "python.json"}
	if found := Fit(s, Design(p, environment(), profile)); len(found) > 0 {
		t.Errorf("got %v", found)
	}
}

func TestTheHashStandsForWhatPodsAreMadeAs(t *testing.T) {
	t.Parallel()
	base := Design(pool(), environment(), nil).Hash
	for name, c := range map[string]struct {
		change func(*v1.WarmPool, *v1.RuntimeEnvironment)
		same   bool
	}{
		"sizes":                   {func(p *v1.WarmPool, _ *v1.RuntimeEnvironment) { p.Spec.MinSize, p.Spec.MaxSize = 7, 9 }, true},
		"ttl":                     {func(p *v1.WarmPool, _ *v1.RuntimeEnvironment) { p.Spec.TTL = ptr.To[int32](1) }, true},
		"autoscaling":             {func(p *v1.WarmPool, _ *v1.RuntimeEnvironment) { p.Spec.AutoScaling = &v1.AutoScaling{Enabled: true} }, true},
		"who may use them":        {func(p *v1.WarmPool, _ *v1.RuntimeEnvironment) { p.Spec.AllowedNamespaces = []string{"a"} }, true},
		"tags of the environment": {func(_ *v1.WarmPool, e *v1.RuntimeEnvironment) { e.Spec.Tags = []string{"a"} }, true},
		"resources":               {func(p *v1.WarmPool, _ *v1.RuntimeEnvironment) { p.Spec.Resources.CPU = quantity("2") }, false},
		"level":                   {func(p *v1.WarmPool, _ *v1.RuntimeEnvironment) { p.Spec.SecurityLevel = v1.SecurityHigh }, false},
		"network": {func(p *v1.WarmPool, _ *v1.RuntimeEnvironment) {
			p.Spec.NetworkAccess = &v1.NetworkAccess{Ingress: true}
		}, false},
		"packages": {func(p *v1.WarmPool, _ *v1.RuntimeEnvironment) { p.Spec.PreloadPackages = []string{"numpy"} }, false},
		"scripts": {func(p *v1.WarmPool, _ *v1.RuntimeEnvironment) {
			p.Spec.PreloadScripts = []v1.PreloadScript{{Name: "a", Content: "1"}}
		}, false},
		"image":       {func(_ *v1.WarmPool, e *v1.RuntimeEnvironment) { e.Spec.Image = "python@2" }, false},
		"environment": {func(_ *v1.WarmPool, e *v1.RuntimeEnvironment) { e.Name = "other" }, false},
	} {
		p, e := pool(), environment()
		c.change(p, e)
		if got := Design(p, e, nil).Hash; (got == base) != c.same {
			t.Errorf("%s: the hash is %s, was %s", name, got, base)
		}
	}
}

func TestAPodSaysWhatItWasMadeAs(t *testing.T) {
	t.Parallel()
	p := pool()
	p.Spec.ProfileRef = &v1.ObjectReference{Name: "strict"}
	p.Spec.NetworkAccess = &v1.NetworkAccess{Ingress: true}
	made := Design(p, environment(), nil)
	pod := &v1.WarmPod{}
	made.Write(&pod.Status)
	s := sandbox()
	s.Spec.ProfileRef = &v1.ObjectReference{Name: "strict", Namespace: "warm-pools"}
	s.Spec.NetworkAccess = &v1.NetworkAccess{Ingress: true}
	if found := Fit(s, TemplateOf(pod)); len(found) > 0 {
		t.Errorf("got %v", found)
	}
	if TemplateOf(pod).Hash != made.Hash {
		t.Error("the hash got lost")
	}
}
