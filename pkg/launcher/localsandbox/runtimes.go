// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package localsandbox

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// LabelLauncher marks the RuntimeEnvironments that a launcher has found.
const LabelLauncher = "safebeam.dev/launcher"

// LauncherName is the label's value for those of this machine.
const LauncherName = "local"

// versionTimeout bounds asking one interpreter for its version.
const versionTimeout = 10 * time.Second

// interpreters are looked for in /usr, which is all that sandboxes have.
var interpreters = []struct {
	language, program string
	packageManager    string
	version           *regexp.Regexp
	// serves are the older versions that this one answers for.
	serves func(version string) []string
}{
	{"python", "usr/bin/python3", "pip", regexp.MustCompile(`^Python (\d+\.\d+)\.\d+`), olderMinors(8)},
	{"nodejs", "usr/bin/node", "npm", regexp.MustCompile(`^v(\d+)\.\d+\.\d+`), olderMajors(16)},
	{"bash", "usr/bin/bash", "", regexp.MustCompile(`version (\d+\.\d+)\.\d+`), olderMinors(0)},
}

// Runtimes are the RuntimeEnvironments of the machine whose file system is at
// root, with the versions that it really has.
func Runtimes(ctx context.Context, root string) []llmsafespacev1.RuntimeEnvironment {
	var found []llmsafespacev1.RuntimeEnvironment
	for _, i := range interpreters {
		program := filepath.Join(root, i.program)
		ctx, cancel := context.WithTimeout(ctx, versionTimeout)
		output, err := exec.CommandContext(ctx, program, "--version").CombinedOutput()
		cancel()
		match := i.version.FindSubmatch(output)
		if err != nil || match == nil {
			continue // it is not there, or is not what it is called
		}
		version := string(match[1])
		found = append(found, llmsafespacev1.RuntimeEnvironment{
			ObjectMeta: metav1.ObjectMeta{Name: i.language, Labels: map[string]string{LabelLauncher: LauncherName}},
			Spec: llmsafespacev1.RuntimeEnvironmentSpec{
				// No image is run: this says where the interpreter is.
				Image:    "local/" + i.program[len("usr/bin/"):],
				Language: i.language, Version: version, ServesVersions: i.serves(version), PackageManager: i.packageManager,
				Tags: []string{"local"},
			},
		})
	}
	return found
}

// olderMinors gives the major version alone, and its minor ones from first up
// to that before version: within a major version, programs go on working.
func olderMinors(first int) func(version string) []string {
	return func(version string) []string {
		major, text, _ := strings.Cut(version, ".")
		minor, err := strconv.Atoi(text)
		if err != nil {
			return nil
		}
		serves := []string{major}
		for m := first; m < minor; m++ {
			serves = append(serves, fmt.Sprintf("%s.%d", major, m))
		}
		return serves
	}
}

// olderMajors gives the major versions from first up to that before version.
func olderMajors(first int) func(version string) []string {
	return func(version string) []string {
		major, err := strconv.Atoi(version)
		if err != nil {
			return nil
		}
		var serves []string
		for m := first; m < major; m++ {
			serves = append(serves, strconv.Itoa(m))
		}
		return serves
	}
}

// Judge says of any environment whether this machine has what it promises. Its
// image is not looked at.
func Judge(machine []llmsafespacev1.RuntimeEnvironment) func(*llmsafespacev1.RuntimeEnvironment) (bool, string) {
	return func(environment *llmsafespacev1.RuntimeEnvironment) (bool, string) {
		var has []string
		for i := range machine {
			spec := &machine[i].Spec
			if spec.Language != environment.Spec.Language {
				continue
			}
			if version := environment.Spec.Version; version == "" || version == spec.Version || slices.Contains(spec.ServesVersions, version) {
				return true, ""
			}
			has = append(has, spec.Version)
		}
		if len(has) == 0 {
			return false, fmt.Sprintf("this machine has no %s in /usr", environment.Spec.Language)
		}
		return false, fmt.Sprintf("this machine has %s %s, and the local launcher runs no images", environment.Spec.Language, strings.Join(has, ", "))
	}
}
