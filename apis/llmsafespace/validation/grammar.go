// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"safebeam.dev/safebeam/apis/internal/check"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

var levels = []v1.SecurityLevel{v1.SecurityStandard, v1.SecurityHigh, v1.SecurityCustom}

var (
	languageGrammar = regexp.MustCompile(`^[a-z][a-z0-9+#-]{0,31}$`)
	versionGrammar  = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._+-]{0,31}$`)
	// packageGrammar is a name with an optional scope, extras and version. It
	// cannot begin with '-', so that no package is an option of the manager,
	// and names no file or URL.
	packageGrammar = regexp.MustCompile(`^@?[a-zA-Z0-9][a-zA-Z0-9._-]*(/[a-zA-Z0-9][a-zA-Z0-9._-]*)*(\[[a-zA-Z0-9,._-]+\])?((==|>=|<=|~=|!=|<|>|@)[a-zA-Z0-9.*+!_^~-]+(,(==|>=|<=|~=|!=|<|>)[a-zA-Z0-9.*+!_-]+)*)?$`)
)

// runtimeName wants language:version, or the name of a RuntimeEnvironment.
func runtimeName(runtime string, path *field.Path) field.ErrorList {
	if runtime == "" {
		return field.ErrorList{field.Required(path, "language:version, such as python:3.11, or the name of a RuntimeEnvironment")}
	}
	language, version, versioned := strings.Cut(runtime, ":")
	if versioned && languageGrammar.MatchString(language) && versionGrammar.MatchString(version) {
		return nil
	}
	if !versioned && len(check.Name(runtime, false)) == 0 {
		return nil
	}
	if errs := check.Line(runtime, 256, path); len(errs) > 0 {
		return errs
	}
	return field.ErrorList{field.Invalid(path, runtime, "must be language:version, such as python:3.11, or the name of a RuntimeEnvironment; images cannot be named")}
}

func language(language string, path *field.Path) field.ErrorList {
	if language == "" {
		return field.ErrorList{field.Required(path, "a language such as python")}
	}
	if !languageGrammar.MatchString(language) {
		return field.ErrorList{field.Invalid(path, field.OmitValueType{}, "must be a language such as python, nodejs or c++: lower-case letters, digits, '+', '#' and '-'")}
	}
	return nil
}

func version(version string, path *field.Path) field.ErrorList {
	if !versionGrammar.MatchString(version) {
		return field.ErrorList{field.Invalid(path, field.OmitValueType{}, "must be a version such as 3.11")}
	}
	return nil
}

func packages(packages []string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(packages) > maxPackages {
		errs = append(errs, field.TooMany(path, len(packages), maxPackages))
	}
	seen := map[string]bool{}
	for i, name := range packages {
		switch {
		case seen[name]:
			errs = append(errs, field.Duplicate(path.Index(i), name))
		case len(name) > 256 || !packageGrammar.MatchString(name):
			errs = append(errs, field.Invalid(path.Index(i), field.OmitValueType{}, "must be the name of a package, with a version if need be, such as numpy, numpy==2.1.0 or @types/node@22; no option, file or URL"))
		}
		seen[name] = true
	}
	return errs
}

// unique wants a set of words that each are what valid says.
func unique(words []string, limit int, valid func(string, *field.Path) field.ErrorList, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(words) > limit {
		errs = append(errs, field.TooMany(path, len(words), limit))
	}
	seen := map[string]bool{}
	for i, word := range words {
		if seen[word] {
			errs = append(errs, field.Duplicate(path.Index(i), word))
		} else {
			errs = append(errs, valid(word, path.Index(i))...)
		}
		seen[word] = true
	}
	return errs
}

func word(word string, path *field.Path) field.ErrorList {
	return check.Word(word, 128, "a word, or leave the entry out", path)
}

func namespace(namespace string, path *field.Path) field.ErrorList {
	if namespace == "" {
		return field.ErrorList{field.Required(path, "the name of a namespace")}
	}
	var errs field.ErrorList
	for _, problem := range validation.IsDNS1123Label(namespace) {
		errs = append(errs, field.Invalid(path, field.OmitValueType{}, problem))
	}
	return errs
}

func reference(ref *v1.ObjectReference, what string, path *field.Path) field.ErrorList {
	if ref == nil {
		return nil
	}
	errs := check.Reference(ref.Name, what, path.Child("name"))
	if ref.Namespace != "" {
		errs = append(errs, namespace(ref.Namespace, path.Child("namespace"))...)
	}
	return errs
}

// kernelPaths are the kernel's, the secrets' and the agent's own: nothing is ever
// mounted over them.
var kernelPaths = []string{"/proc", "/sys", "/dev", "/run/secrets", "/var/run/secrets", "/run/safebeam", "/var/run/safebeam"}

// systemPaths are where a runtime keeps its programs and their configuration. Nobody
// writes there: an empty directory in their place is no runtime any more.
var systemPaths = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc"}

func absolute(p string, fldPath *field.Path) field.ErrorList {
	if errs := check.Line(p, 4096, fldPath); len(errs) > 0 {
		return errs
	}
	if !path.IsAbs(p) || path.Clean(p) != p {
		return field.ErrorList{field.Invalid(fldPath, p, "must be an absolute path without '.', '..' and slashes that are not needed")}
	}
	return nil
}

// mountable wants a path that a directory can be mounted at.
func mountable(p string, path *field.Path) field.ErrorList {
	if errs := absolute(p, path); len(errs) > 0 {
		return errs
	}
	if p == "/" {
		return field.ErrorList{field.Invalid(path, p, "must be a directory below the root: for all of it set readOnlyRoot to false")}
	}
	if strings.ContainsRune(p, ':') {
		return field.ErrorList{field.Invalid(path, p, "must not contain ':'")}
	}
	return apart(p, kernelPaths, path)
}

// writable wants a path that a directory to write to can be mounted at.
func writable(p string, path *field.Path) field.ErrorList {
	if errs := mountable(p, path); len(errs) > 0 {
		return errs
	}
	return apart(p, systemPaths, path)
}

func apart(p string, from []string, path *field.Path) field.ErrorList {
	for _, system := range from {
		if within(p, system) || within(system, p) {
			return field.ErrorList{field.Invalid(path, p, "must be apart from "+system)}
		}
	}
	return nil
}

// paths wants directories, each valid, that do not contain one another.
func paths(paths []string, valid func(string, *field.Path) field.ErrorList, fldPath *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(paths) > maxPaths {
		errs = append(errs, field.TooMany(fldPath, len(paths), maxPaths))
	}
	for i, p := range paths {
		if invalid := valid(p, fldPath.Index(i)); len(invalid) > 0 {
			errs = append(errs, invalid...)
			continue
		}
		for j, other := range paths {
			if i > j && p == other {
				errs = append(errs, field.Duplicate(fldPath.Index(i), p))
			} else if p != other && other != "/" && within(p, other) {
				errs = append(errs, field.Invalid(fldPath.Index(i), p, fmt.Sprintf("is within %s, which is listed too: leave it out", other)))
			}
		}
	}
	return errs
}

// within reports whether a clean path is dir or below it.
func within(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}

func env(env []v1.EnvVar, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(env) > maxEnv {
		errs = append(errs, field.TooMany(path, len(env), maxEnv))
	}
	seen := map[string]bool{}
	for i, variable := range env {
		namePath := path.Index(i).Child("name")
		switch {
		case variable.Name == "":
			errs = append(errs, field.Required(namePath, "the name of the variable"))
		case seen[variable.Name]:
			errs = append(errs, field.Duplicate(namePath, variable.Name))
		default:
			for _, problem := range validation.IsEnvVarName(variable.Name) {
				errs = append(errs, field.Invalid(namePath, field.OmitValueType{}, problem))
			}
		}
		seen[variable.Name] = true
		errs = append(errs, check.Text(variable.Value, maxEnvValue, path.Index(i).Child("value"))...)
	}
	return errs
}
