// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"safebeam.dev/safebeam/apis/internal/check/checktest"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

func TestSandboxProfileRefuses(t *testing.T) {
	t.Parallel()
	profile := func() *v1.SandboxProfile {
		return served(&v1.SandboxProfile{ObjectMeta: meta("data"), Spec: v1.SandboxProfileSpec{
			Language: "python", SeccompProfile: "profiles/python.json",
			NetworkPolicies:      []v1.ProfileNetworkPolicy{{Type: v1.PolicyEgress, Rules: []v1.NetworkRule{{CIDR: "192.0.2.0/24"}}}},
			PreInstalledPackages: []string{"numpy"},
			ResourceDefaults:     &v1.Resources{Memory: amount("1Gi")},
			FilesystemConfig:     &v1.ProfileFilesystem{ReadOnlyPaths: []string{"/etc"}, WritablePaths: []string{"/tmp"}},
		}})
	}
	type sbp = *v1.SandboxProfile
	checktest.Refuses(t, profile, func(p *v1.SandboxProfile) field.ErrorList { return SandboxProfile(p, limits) },
		checktest.By("no language", func(p sbp) { p.Spec.Language = "" }, field.ErrorTypeRequired, "spec.language", "python"),
		checktest.By("a seccomp profile elsewhere", func(p sbp) { p.Spec.SeccompProfile = "a/../../b" }, field.ErrorTypeInvalid, "spec.seccompProfile", "relative path"),
		checktest.By("a third direction", func(p sbp) { p.Spec.NetworkPolicies[0].Type = "Egress" }, field.ErrorTypeNotSupported, "spec.networkPolicies[0].type", `"egress", "ingress"`),
		checktest.By("ingress by ranges", func(p sbp) { p.Spec.NetworkPolicies[0].Type = v1.PolicyIngress }, field.ErrorTypeForbidden, "spec.networkPolicies[0].rules", "leave the rules out"),
		checktest.By("a domain", func(p sbp) { p.Spec.NetworkPolicies[0].Rules[0] = v1.NetworkRule{Domain: "a.example"} }, field.ErrorTypeForbidden, "spec.networkPolicies[0].rules[0].domain", "by cidr"),
		checktest.By("a package that is an option", func(p sbp) { p.Spec.PreInstalledPackages[0] = "-r" }, field.ErrorTypeInvalid, "spec.preInstalledPackages[0]", "no option"),
		checktest.By("too much memory", func(p sbp) { p.Spec.ResourceDefaults.Memory = amount("9Gi") }, field.ErrorTypeInvalid, "spec.resourceDefaults.memory", "at most 8Gi"),
		checktest.By("paths of both kinds in one another", func(p sbp) { p.Spec.FilesystemConfig.ReadOnlyPaths[0] = "/tmp/a" }, field.ErrorTypeInvalid, "spec.filesystemConfig.readOnlyPaths[0]", "keep them apart"),
	)
}

func TestRuntimeEnvironmentRefuses(t *testing.T) {
	t.Parallel()
	environment := func() *v1.RuntimeEnvironment {
		return served(&v1.RuntimeEnvironment{ObjectMeta: metav1.ObjectMeta{Name: "python-3.11", ResourceVersion: "7"}, Spec: v1.RuntimeEnvironmentSpec{
			Image: "localhost/safebeam-python:3.11", Language: "python", Version: "3.11", ServesVersions: []string{"3", "3.10"},
			Tags: []string{"data"}, PackageManager: "pip", SecurityFeatures: []string{"gvisor"}, PreInstalledPackages: []string{"numpy"},
			ResourceRequirements: &v1.RuntimeResources{MinCPU: amount("100m"), MinMemory: amount("64Mi"), RecommendedCPU: amount("1"), RecommendedMemory: amount("1Gi")},
		}})
	}
	type rte = *v1.RuntimeEnvironment
	checktest.Refuses(t, environment, RuntimeEnvironment,
		checktest.By("a namespace", func(r rte) { r.Namespace = "default" }, field.ErrorTypeForbidden, "metadata.namespace", ""),
		checktest.By("no image", func(r rte) { r.Spec.Image = "" }, field.ErrorTypeRequired, "spec.image", "pods run"),
		checktest.By("an image that is an option", func(r rte) { r.Spec.Image = "--privileged" }, field.ErrorTypeInvalid, "spec.image", "image reference"),
		checktest.By("no language", func(r rte) { r.Spec.Language = "" }, field.ErrorTypeRequired, "spec.language", "python"),
		checktest.By("a version of words", func(r rte) { r.Spec.Version = "the latest" }, field.ErrorTypeInvalid, "spec.version", "3.11"),
		checktest.By("other versions than none", func(r rte) { r.Spec.Version = "" }, field.ErrorTypeRequired, "spec.version", "really runs"),
		checktest.By("a version twice", func(r rte) { r.Spec.ServesVersions[0] = "3.10" }, field.ErrorTypeDuplicate, "spec.servesVersions[1]", "3.10"),
		checktest.By("a tag of nothing", func(r rte) { r.Spec.Tags[0] = "" }, field.ErrorTypeRequired, "spec.tags[0]", "leave the entry out"),
		checktest.By("less than is needed", func(r rte) { r.Spec.ResourceRequirements.RecommendedMemory = amount("32Mi") }, field.ErrorTypeInvalid, "spec.resourceRequirements.recommendedMemory", "at least 64Mi"),
	)
}
