// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"safebeam.dev/safebeam/apis/internal/check/checktest"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

func python() *v1.Sandbox {
	return served(&v1.Sandbox{
		ObjectMeta: meta("sandbox-1"),
		Spec: v1.SandboxSpec{
			Runtime:   "python:3.11",
			Resources: &v1.Resources{CPU: amount("1"), Memory: amount("1Gi"), EphemeralStorage: amount("2Gi")},
			Env:       []v1.EnvVar{{Name: "LANG", Value: "C.UTF-8"}, {Name: "A"}},
			NetworkAccess: &v1.NetworkAccess{Egress: []v1.NetworkRule{
				{CIDR: "192.0.2.0/24", Ports: []v1.NetworkPort{{Port: 443}, {Port: 53, Protocol: "UDP"}}},
			}},
			Filesystem:  &v1.Filesystem{WritablePaths: []string{"/tmp", "/workspace", "/home/user/.cache"}},
			Storage:     &v1.Storage{Persistent: true},
			User:        "user 123",
			WarmPoolRef: &v1.ObjectReference{Name: "python-pool", Namespace: "warm-pools"},
			ProfileRef:  nil,
			IdleTimeout: ptr.To[int32](60),
		},
	})
}

func validSandbox(s *v1.Sandbox) field.ErrorList { return Sandbox(s, limits) }

func TestSandboxRefuses(t *testing.T) {
	t.Parallel()
	type sb = *v1.Sandbox
	checktest.Refuses(t, python, validSandbox,
		checktest.By("a name that fits no label", func(s sb) { s.Name = strings.Repeat("a", 64) }, field.ErrorTypeInvalid, "metadata.name", "63"),
		checktest.By("no runtime", func(s sb) { s.Spec.Runtime = "" }, field.ErrorTypeRequired, "spec.runtime", "python:3.11"),
		checktest.By("an image as runtime", func(s sb) { s.Spec.Runtime = "registry.example/evil:latest" }, field.ErrorTypeInvalid, "spec.runtime", "images cannot be named"),
		checktest.By("a file as runtime", func(s sb) { s.Spec.Runtime = "../../etc/passwd" }, field.ErrorTypeInvalid, "spec.runtime", "RuntimeEnvironment"),
		checktest.By("a runtime without version", func(s sb) { s.Spec.Runtime = "python:" }, field.ErrorTypeInvalid, "spec.runtime", "language:version"),
		checktest.By("a runtime of two lines", func(s sb) { s.Spec.Runtime = "python:3\nx" }, field.ErrorTypeInvalid, "spec.runtime", "one line"),
		checktest.By("an unknown security level", func(s sb) { s.Spec.SecurityLevel = "none" }, field.ErrorTypeNotSupported, "spec.securityLevel", `"standard", "high", "custom"`),
		checktest.By("no time at all", func(s sb) { s.Spec.Timeout = ptr.To[int32](0) }, field.ErrorTypeInvalid, "spec.timeout", "from 1 to 86400"),
		checktest.By("days", func(s sb) { s.Spec.Timeout = ptr.To[int32](86401) }, field.ErrorTypeInvalid, "spec.timeout", "from 1 to 86400"),
		checktest.By("idling beyond its time", func(s sb) { s.Spec.IdleTimeout = ptr.To[int32](301) }, field.ErrorTypeInvalid, "spec.idleTimeout", "has no effect"),
		checktest.By("less than no cpu", func(s sb) { s.Spec.Resources.CPU = amount("-1") }, field.ErrorTypeInvalid, "spec.resources.cpu", "at least 10m"),
		checktest.By("too much cpu", func(s sb) { s.Spec.Resources.CPU = amount("4001m") }, field.ErrorTypeInvalid, "spec.resources.cpu", "at most 4"),
		checktest.By("half a byte", func(s sb) { s.Spec.Resources.Memory = amount("512m") }, field.ErrorTypeInvalid, "spec.resources.memory", "at least 16Mi"),
		checktest.By("bytes in parts", func(s sb) { s.Spec.Resources.Memory = amount("536870912500m") }, field.ErrorTypeInvalid, "spec.resources.memory", "whole number"),
		checktest.By("all the memory there is", func(s sb) { s.Spec.Resources.Memory = amount("999999Gi") }, field.ErrorTypeInvalid, "spec.resources.memory", "at most 8Gi"),
		checktest.By("more than can be counted", func(s sb) { s.Spec.Resources.EphemeralStorage = amount("99999999999999999999Ei") }, field.ErrorTypeInvalid, "spec.resources.ephemeralStorage", "at most 20Gi"),
		checktest.By("a gpu", func(s sb) { s.Spec.Resources.GPU = "1" }, field.ErrorTypeForbidden, "spec.resources.gpu", "leave it out"),
		checktest.By("pinned cores", func(s sb) { s.Spec.Resources.CPUPinning = true }, field.ErrorTypeForbidden, "spec.resources.cpuPinning", "leave it out"),
		checktest.By("a variable without name", func(s sb) { s.Spec.Env[0].Name = "" }, field.ErrorTypeRequired, "spec.env[0].name", "name of the variable"),
		checktest.By("a variable with '='", func(s sb) { s.Spec.Env[0].Name = "A=B" }, field.ErrorTypeInvalid, "spec.env[0].name", ""),
		checktest.By("a variable twice", func(s sb) { s.Spec.Env[0].Name = "A" }, field.ErrorTypeDuplicate, "spec.env[1].name", "A"),
		checktest.By("a value with NUL", func(s sb) { s.Spec.Env[0].Value = "\x00" }, field.ErrorTypeInvalid, "spec.env[0].value", "NUL"),
		checktest.By("a domain", func(s sb) { s.Spec.NetworkAccess.Egress[0] = v1.NetworkRule{Domain: "pypi.org"} }, field.ErrorTypeForbidden, "spec.networkAccess.egress[0].domain", "by cidr"),
		checktest.By("egress to nowhere", func(s sb) { s.Spec.NetworkAccess.Egress[0].CIDR = "" }, field.ErrorTypeRequired, "spec.networkAccess.egress[0].cidr", "192.0.2.0/24"),
		checktest.By("a port beyond all", func(s sb) { s.Spec.NetworkAccess.Egress[0].Ports[0].Port = 65536 }, field.ErrorTypeInvalid, "spec.networkAccess.egress[0].ports[0].port", "from 1 to 65535"),
		checktest.By("a protocol of its own", func(s sb) { s.Spec.NetworkAccess.Egress[0].Ports[0].Protocol = "ICMP" }, field.ErrorTypeNotSupported, "spec.networkAccess.egress[0].ports[0].protocol", `"TCP", "UDP"`),
		checktest.By("to write to everything", func(s sb) { s.Spec.Filesystem.WritablePaths[0] = "/" }, field.ErrorTypeInvalid, "spec.filesystem.writablePaths[0]", "below the root"),
		checktest.By("to write over the kernel", func(s sb) { s.Spec.Filesystem.WritablePaths[0] = "/proc/self" }, field.ErrorTypeInvalid, "spec.filesystem.writablePaths[0]", "apart from /proc"),
		checktest.By("to write over the runtime's programs", func(s sb) { s.Spec.Filesystem.WritablePaths[0] = "/usr/bin" }, field.ErrorTypeInvalid, "spec.filesystem.writablePaths[0]", "apart from /usr"),
		checktest.By("to write over all of the configuration", func(s sb) { s.Spec.Filesystem.WritablePaths[0] = "/etc" }, field.ErrorTypeInvalid, "spec.filesystem.writablePaths[0]", "apart from /etc"),
		checktest.By("to write over the agent", func(s sb) { s.Spec.Filesystem.WritablePaths[0] = "/run/safebeam/agent" }, field.ErrorTypeInvalid, "spec.filesystem.writablePaths[0]", "apart from /run/safebeam"),
		checktest.By("to write above the secrets", func(s sb) { s.Spec.Filesystem.WritablePaths[0] = "/run" }, field.ErrorTypeInvalid, "spec.filesystem.writablePaths[0]", "apart from /run/secrets"),
		checktest.By("to write elsewhere by dots", func(s sb) { s.Spec.Filesystem.WritablePaths[0] = "/tmp/../etc" }, field.ErrorTypeInvalid, "spec.filesystem.writablePaths[0]", "without"),
		checktest.By("to write to a relative path", func(s sb) { s.Spec.Filesystem.WritablePaths[0] = "tmp" }, field.ErrorTypeInvalid, "spec.filesystem.writablePaths[0]", "absolute"),
		checktest.By("to write twice", func(s sb) { s.Spec.Filesystem.WritablePaths[1] = "/tmp" }, field.ErrorTypeDuplicate, "spec.filesystem.writablePaths[1]", "/tmp"),
		checktest.By("to write within what it writes to", func(s sb) { s.Spec.Filesystem.WritablePaths[1] = "/tmp/a" }, field.ErrorTypeInvalid, "spec.filesystem.writablePaths[1]", "leave it out"),
		checktest.By("a root to write to", func(s sb) { s.Spec.Filesystem.ReadOnlyRoot = ptr.To(false) }, field.ErrorTypeForbidden, "spec.filesystem.readOnlyRoot", "custom only"),
		checktest.By("a volume that it does not write to", func(s sb) { s.Spec.Filesystem.WritablePaths = []string{"/tmp"} }, field.ErrorTypeForbidden, "spec.storage.persistent", "list it"),
		checktest.By("the size of no volume", func(s sb) { s.Spec.Storage.Persistent = false }, field.ErrorTypeForbidden, "spec.storage.volumeSize", "has no effect"),
		checktest.By("a volume that is too large", func(s sb) { s.Spec.Storage.VolumeSize = amount("101Gi") }, field.ErrorTypeInvalid, "spec.storage.volumeSize", "at most 100Gi"),
		checktest.By("root", func(s sb) { s.Spec.SecurityContext.RunAsUser = ptr.To[int64](0) }, field.ErrorTypeInvalid, "spec.securityContext.runAsUser", "from 1"),
		checktest.By("root's group", func(s sb) { s.Spec.SecurityContext.RunAsGroup = ptr.To[int64](0) }, field.ErrorTypeInvalid, "spec.securityContext.runAsGroup", "from 1"),
		checktest.By("root by another name", func(s sb) { s.Spec.SecurityContext.RunAsNonRoot = ptr.To(false) }, field.ErrorTypeForbidden, "spec.securityContext.runAsNonRoot", "as root"),
		checktest.By("to gain privileges", func(s sb) { s.Spec.SecurityContext.AllowPrivilegeEscalation = true }, field.ErrorTypeForbidden, "spec.securityContext.allowPrivilegeEscalation", "gains privileges"),
		checktest.By("AppArmor", func(s sb) { s.Spec.SecurityContext.AppArmorProfile = "x" }, field.ErrorTypeForbidden, "spec.securityContext.appArmorProfile", "leave it out"),
		checktest.By("no seccomp", func(s sb) { s.Spec.SecurityContext.SeccompProfile.Type = "Unconfined" }, field.ErrorTypeNotSupported, "spec.securityContext.seccompProfile.type", `"RuntimeDefault", "Localhost"`),
		checktest.By("seccomp of its own", func(s sb) {
			s.Spec.SecurityContext.SeccompProfile = &v1.SeccompProfile{Type: v1.SeccompLocalhost, LocalhostProfile: "mine.json"}
		}, field.ErrorTypeForbidden, "spec.securityContext.seccompProfile.type", "custom only"),
		checktest.By("a file that the type does not read", func(s sb) { s.Spec.SecurityContext.SeccompProfile.LocalhostProfile = "a" }, field.ErrorTypeForbidden, "spec.securityContext.seccompProfile.localhostProfile", "leave it out"),
		checktest.By("a user of two lines", func(s sb) { s.Spec.User = "a\nb" }, field.ErrorTypeInvalid, "spec.user", "one line"),
		checktest.By("a pool that it does not use", func(s sb) { s.Spec.UseWarmPool = ptr.To(false) }, field.ErrorTypeForbidden, "spec.warmPoolRef", "leave out one"),
		checktest.By("a pool without name", func(s sb) { s.Spec.WarmPoolRef.Name = "" }, field.ErrorTypeRequired, "spec.warmPoolRef.name", "a WarmPool"),
		checktest.By("a pool of no namespace", func(s sb) { s.Spec.WarmPoolRef.Namespace = "a.b" }, field.ErrorTypeInvalid, "spec.warmPoolRef.namespace", ""),
		checktest.By("a profile without name", func(s sb) { s.Spec.ProfileRef = &v1.ObjectReference{} }, field.ErrorTypeRequired, "spec.profileRef.name", "a SandboxProfile"),
	)
}

func TestCustomSandboxRefuses(t *testing.T) {
	t.Parallel()
	custom := func() *v1.Sandbox {
		s := python()
		s.Spec.SecurityLevel = v1.SecurityCustom
		s.Spec.Filesystem.ReadOnlyRoot = ptr.To(false)
		s.Spec.SecurityContext.SeccompProfile = &v1.SeccompProfile{Type: v1.SeccompLocalhost, LocalhostProfile: "profiles/mine.json"}
		return s
	}
	type sb = *v1.Sandbox
	checktest.Refuses(t, custom, validSandbox,
		checktest.By("a seccomp profile without file", func(s sb) { s.Spec.SecurityContext.SeccompProfile.LocalhostProfile = "" }, field.ErrorTypeRequired, "spec.securityContext.seccompProfile.localhostProfile", "kubelet"),
		checktest.By("a seccomp profile elsewhere", func(s sb) { s.Spec.SecurityContext.SeccompProfile.LocalhostProfile = "../mine" }, field.ErrorTypeInvalid, "spec.securityContext.seccompProfile.localhostProfile", "relative path"),
		checktest.By("a seccomp profile anywhere", func(s sb) { s.Spec.SecurityContext.SeccompProfile.LocalhostProfile = "/etc/mine" }, field.ErrorTypeInvalid, "spec.securityContext.seccompProfile.localhostProfile", "relative path"),
		checktest.By("root all the same", func(s sb) { s.Spec.SecurityContext.RunAsNonRoot = ptr.To(false) }, field.ErrorTypeForbidden, "spec.securityContext.runAsNonRoot", "as root"),
	)
}

func TestSandboxUpdateRefusesAllButItsTimes(t *testing.T) {
	t.Parallel()
	update := func(s *v1.Sandbox) field.ErrorList { return SandboxUpdate(s, python(), limits) }
	type sb = *v1.Sandbox
	checktest.Refuses(t, python, update,
		checktest.By("another runtime", func(s sb) { s.Spec.Runtime = "nodejs:22" }, field.ErrorTypeForbidden, "spec.runtime", "create another"),
		checktest.By("more memory", func(s sb) { s.Spec.Resources.Memory = amount("2Gi") }, field.ErrorTypeForbidden, "spec.resources.memory", "create another"),
		checktest.By("an open network", func(s sb) { s.Spec.NetworkAccess.Egress = nil }, field.ErrorTypeForbidden, "spec.networkAccess.egress", "create another"),
		checktest.By("too long a time", func(s sb) { s.Spec.Timeout = ptr.To[int32](1e6) }, field.ErrorTypeInvalid, "spec.timeout", "from 1 to 86400"),
	)
	longer := python()
	longer.Spec.Timeout, longer.Spec.IdleTimeout, longer.Spec.TTLSecondsAfterFinished = ptr.To[int32](600), nil, ptr.To[int32](0)
	longer.Spec.Resources.Memory = amount("1024Mi") // as much as before
	if errs := update(longer); len(errs) > 0 {
		t.Error(errs)
	}
}

func TestSandboxHasOnePodForLife(t *testing.T) {
	t.Parallel()
	ended := func() *v1.Sandbox {
		s := python()
		s.Status = v1.SandboxStatus{Phase: v1.SandboxLost, CompletionTime: ptr.To(metav1.Unix(1, 0)), PodName: "a", PodNamespace: "b", CreatedBy: "me"}
		return s
	}
	type sb = *v1.Sandbox
	checktest.Refuses(t, ended, func(s *v1.Sandbox) field.ErrorList { return SandboxStatusUpdate(s, ended()) },
		checktest.By("to live again", func(s sb) { s.Status.Phase = v1.SandboxRunning }, field.ErrorTypeForbidden, "status.phase", "the sandbox is Lost"),
		checktest.By("another pod", func(s sb) { s.Status.PodName = "c" }, field.ErrorTypeForbidden, "status.podName", "once it is set"),
		checktest.By("another creator", func(s sb) { s.Status.CreatedBy = "you" }, field.ErrorTypeForbidden, "status.createdBy", "once it is set"),
		checktest.By("an end without its time", func(s sb) { s.Status.CompletionTime = nil }, field.ErrorTypeRequired, "status.completionTime", "since when"),
	)
	running := func() *v1.Sandbox {
		s := python()
		s.Status.Phase, s.Status.StartTime = v1.SandboxRunning, ptr.To(metav1.Unix(1, 0))
		return s
	}
	checktest.Refuses(t, running, func(s *v1.Sandbox) field.ErrorList { return SandboxStatusUpdate(s, running()) },
		checktest.By("to be made again", func(s sb) { s.Status.Phase = v1.SandboxCreating }, field.ErrorTypeForbidden, "status.phase", "cannot go back"),
		checktest.By("to have begun later", func(s sb) { s.Status.StartTime = ptr.To(metav1.Unix(2, 0)) }, field.ErrorTypeForbidden, "status.startTime", "once it is set"),
		checktest.By("not to have begun", func(s sb) { s.Status.StartTime = nil }, field.ErrorTypeForbidden, "status.startTime", "once it is set"),
		checktest.By("no phase", func(s sb) { s.Status.Phase = "" }, field.ErrorTypeRequired, "status.phase", `"Pending"`),
	)
}
