// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"safebeam.dev/safebeam/apis/internal/check/checktest"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

func pool() *v1.WarmPool {
	return served(&v1.WarmPool{ObjectMeta: meta("python-pool"), Spec: v1.WarmPoolSpec{
		Runtime: "python:3.11", MinSize: 5, MaxSize: 20,
		PreloadPackages:   []string{"numpy", "pandas==2.2.3", "requests[socks]>=2,<3", "@types/node@22.1.0"},
		PreloadScripts:    []v1.PreloadScript{{Name: "init-data", Content: "import numpy"}},
		AutoScaling:       &v1.AutoScaling{Enabled: true},
		AllowedNamespaces: []string{"agent-sandboxes"},
	}})
}

func TestWarmPoolRefuses(t *testing.T) {
	t.Parallel()
	type wp = *v1.WarmPool
	checktest.Refuses(t, pool, func(p *v1.WarmPool) field.ErrorList { return WarmPool(p, limits) },
		checktest.By("no runtime", func(p wp) { p.Spec.Runtime = "" }, field.ErrorTypeRequired, "spec.runtime", "python:3.11"),
		checktest.By("fewer than no pods", func(p wp) { p.Spec.MinSize = -1 }, field.ErrorTypeInvalid, "spec.minSize", "from 0"),
		checktest.By("fewer than no pods at most", func(p wp) { p.Spec.MaxSize = -1 }, field.ErrorTypeInvalid, "spec.maxSize", "from 0"),
		checktest.By("more pods at least than at most", func(p wp) { p.Spec.MinSize = 21 }, field.ErrorTypeInvalid, "spec.minSize", "above maxSize"),
		checktest.By("an unknown level", func(p wp) { p.Spec.SecurityLevel = "low" }, field.ErrorTypeNotSupported, "spec.securityLevel", `"standard"`),
		checktest.By("a network by name", func(p wp) {
			p.Spec.NetworkAccess = &v1.NetworkAccess{Egress: []v1.NetworkRule{{Domain: "pypi.org"}}}
		}, field.ErrorTypeForbidden, "spec.networkAccess.egress[0].domain", "cidr"),
		checktest.By("a package that is an option", func(p wp) { p.Spec.PreloadPackages[0] = "--index-url=http://evil" }, field.ErrorTypeInvalid, "spec.preloadPackages[0]", "no option"),
		checktest.By("a package that is a command", func(p wp) { p.Spec.PreloadPackages[0] = "numpy; reboot" }, field.ErrorTypeInvalid, "spec.preloadPackages[0]", "name of a package"),
		checktest.By("a package that is a URL", func(p wp) { p.Spec.PreloadPackages[0] = "git+https://evil.example/x" }, field.ErrorTypeInvalid, "spec.preloadPackages[0]", "URL"),
		checktest.By("a package that is a file", func(p wp) { p.Spec.PreloadPackages[0] = "../x" }, field.ErrorTypeInvalid, "spec.preloadPackages[0]", "file"),
		checktest.By("a package twice", func(p wp) { p.Spec.PreloadPackages[1] = "numpy" }, field.ErrorTypeDuplicate, "spec.preloadPackages[1]", "numpy"),
		checktest.By("a script without name", func(p wp) { p.Spec.PreloadScripts[0].Name = "" }, field.ErrorTypeRequired, "spec.preloadScripts[0].name", "a name"),
		checktest.By("a script named as a path", func(p wp) { p.Spec.PreloadScripts[0].Name = "../x" }, field.ErrorTypeInvalid, "spec.preloadScripts[0].name", ""),
		checktest.By("a script of nothing", func(p wp) { p.Spec.PreloadScripts[0].Content = "" }, field.ErrorTypeRequired, "spec.preloadScripts[0].content", "language"),
		checktest.By("no utilization", func(p wp) { p.Spec.AutoScaling.TargetUtilization = ptr.To[int32](0) }, field.ErrorTypeInvalid, "spec.autoScaling.targetUtilization", "from 1 to 100"),
		checktest.By("a delay into the past", func(p wp) { p.Spec.AutoScaling.ScaleDownDelay = ptr.To[int32](-1) }, field.ErrorTypeInvalid, "spec.autoScaling.scaleDownDelay", "from 0"),
		checktest.By("a namespace that is none", func(p wp) { p.Spec.AllowedNamespaces[0] = "*" }, field.ErrorTypeInvalid, "spec.allowedNamespaces[0]", "lower case"),
		checktest.By("a time to live that is over", func(p wp) { p.Spec.TTL = ptr.To[int32](-1) }, field.ErrorTypeInvalid, "spec.ttl", "from 0"),
		checktest.By("too much memory", func(p wp) { p.Spec.Resources.Memory = amount("9Gi") }, field.ErrorTypeInvalid, "spec.resources.memory", "at most 8Gi"),
	)
	checktest.Refuses(t, pool, func(p *v1.WarmPool) field.ErrorList { return WarmPoolStatusUpdate(p, pool()) },
		checktest.By("fewer than no available pods", func(p wp) { p.Status.AvailablePods = -1 }, field.ErrorTypeInvalid, "status.availablePods", "negative"),
		checktest.By("more hits than tries", func(p wp) { p.Status.HitRate = ptr.To[int32](101) }, field.ErrorTypeInvalid, "status.hitRate", "from 0 to 100"),
	)
}

func TestWarmPodServesOneSandboxOnce(t *testing.T) {
	t.Parallel()
	assigned := func() *v1.WarmPod {
		return served(&v1.WarmPod{
			ObjectMeta: meta("python-pool-1"),
			Spec:       v1.WarmPodSpec{PoolRef: v1.ObjectReference{Name: "python-pool", Namespace: "default"}},
			Status:     v1.WarmPodStatus{Phase: v1.WarmPodAssigned, AssignedTo: "agents/sandbox-1", AssignedToUID: "uid"},
		})
	}
	type wpod = *v1.WarmPod
	checktest.Refuses(t, assigned, WarmPod,
		checktest.By("no pool", func(p wpod) { p.Spec.PoolRef.Name = "" }, field.ErrorTypeRequired, "spec.poolRef.name", "the WarmPool"),
		checktest.By("a pool elsewhere", func(p wpod) { p.Spec.PoolRef.Namespace = "other" }, field.ErrorTypeInvalid, "spec.poolRef.namespace", "pool's namespace"),
	)
	checktest.Refuses(t, assigned, func(p *v1.WarmPod) field.ErrorList { return WarmPodUpdate(p, assigned()) },
		checktest.By("another pool", func(p wpod) { p.Spec.PoolRef.Name = "other" }, field.ErrorTypeForbidden, "spec.poolRef", "stay in their pool"),
	)
	checktest.Refuses(t, assigned, func(p *v1.WarmPod) field.ErrorList { return WarmPodStatusUpdate(p, assigned()) },
		checktest.By("to be ready again", func(p wpod) { p.Status.Phase = v1.WarmPodReady }, field.ErrorTypeForbidden, "status.phase", "once"),
		checktest.By("another sandbox", func(p wpod) { p.Status.AssignedToUID = "other" }, field.ErrorTypeForbidden, "status.assignedTo", "once"),
	)
	ready := func() *v1.WarmPod { p := assigned(); p.Status = v1.WarmPodStatus{Phase: v1.WarmPodReady}; return p }
	checktest.Refuses(t, ready, func(p *v1.WarmPod) field.ErrorList { return WarmPodStatusUpdate(p, ready()) },
		checktest.By("an unknown phase", func(p wpod) { p.Status.Phase = "Used" }, field.ErrorTypeNotSupported, "status.phase", `"Assigned"`),
		checktest.By("nobody", func(p wpod) { p.Status.Phase = v1.WarmPodAssigned }, field.ErrorTypeRequired, "status.assignedTo", "uid"),
	)
}
