// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"runtime/debug"
	"strings"

	apimachineryversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/util/compatibility"
	basecompatibility "k8s.io/component-base/compatibility"
)

// effectiveVersion is the version of Kubernetes whose API machinery this is:
// clients judge by /version what they may ask for. What we are comes behind,
// as build metadata.
type effectiveVersion struct {
	basecompatibility.EffectiveVersion
}

func newEffectiveVersion() basecompatibility.EffectiveVersion {
	return effectiveVersion{compatibility.DefaultBuildEffectiveVersion()}
}

// Info answers /version.
func (v effectiveVersion) Info() *apimachineryversion.Info {
	info := v.EffectiveVersion.Info()
	build, ok := debug.ReadBuildInfo()
	if info == nil || !ok || strings.HasPrefix(info.GitVersion, "v1.") {
		return info // the build says it all
	}
	info.GitVersion = "v" + v.BinaryVersion().WithPatch(0).String() // if the build does not say it
	for _, dependency := range build.Deps {
		// k8s.io/apiserver v0.37.2 is the server library of Kubernetes v1.37.2.
		if patch, found := strings.CutPrefix(dependency.Version, "v0."); found && dependency.Path == "k8s.io/apiserver" {
			info.GitVersion = "v1." + patch
		}
	}
	info.GitVersion += "+safebeam"
	info.GitCommit, info.GitTreeState = "", ""
	for _, setting := range build.Settings {
		switch setting.Key {
		case "vcs.revision":
			info.GitCommit = setting.Value
		case "vcs.modified":
			info.GitTreeState = map[string]string{"true": "dirty", "false": "clean"}[setting.Value]
		case "vcs.time":
			info.BuildDate = setting.Value
		}
	}
	return info
}
