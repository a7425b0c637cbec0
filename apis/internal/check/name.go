// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"fmt"
	"regexp"
	"strings"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// LabelledName is the grammar of names that stand in label values, in which
// their jobs and pods carry them: a DNS-1123 subdomain of at most 63 characters.
func LabelledName(name string, prefix bool) []string {
	problems := apivalidation.NameIsDNSSubdomain(name, prefix)
	if len(name) > validation.LabelValueMaxLength {
		problems = append(problems, validation.MaxLenError(validation.LabelValueMaxLength))
	}
	return problems
}

// Name is the grammar of all other names: a DNS-1123 subdomain.
func Name(name string, prefix bool) []string {
	return apivalidation.NameIsDNSSubdomain(name, prefix)
}

// Reference wants the name of another object. what says of which, for the error.
func Reference(name, what string, path *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "name "+what)}
	}
	return OptionalReference(name, path)
}

// OptionalReference is Reference where none may be named.
func OptionalReference(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return nil
	}
	return invalid(path, name, Name(name, false))
}

// Agent is the grammar of agents' names: they stand in a prompt between
// brackets, in field selectors and in metadata.
func Agent(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return nil
	}
	return invalid(path, name, validation.IsValidLabelValue(name))
}

// imageReference is [registry[:port]/]path[:tag][@digest], loosely: a runtime
// decides about the rest.
var imageReference = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]*(:[0-9]+)?(/[a-zA-Z0-9._-]+)*(:[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127})?(@[a-z0-9+._-]+:[a-fA-F0-9]{32,})?$`)

// Image wants a reference to a container image. Unset is fine.
func Image(image string, path *field.Path) field.ErrorList {
	if image == "" {
		return nil
	}
	if len(image) > 512 || !imageReference.MatchString(image) {
		return field.ErrorList{field.Invalid(path, cut(image), "must be an image reference such as registry.example/name:tag")}
	}
	return nil
}

// OneOf wants one of the words, and lists them when there is another or none.
func OneOf[T ~string](value T, path *field.Path, words ...T) field.ErrorList {
	if value == "" {
		quoted := make([]string, len(words))
		for i, word := range words {
			quoted[i] = fmt.Sprintf("%q", word)
		}
		return field.ErrorList{field.Required(path, "one of "+strings.Join(quoted, ", "))}
	}
	return OptionalOneOf(value, path, words...)
}

// OptionalOneOf is OneOf where unset is fine.
func OptionalOneOf[T ~string](value T, path *field.Path, words ...T) field.ErrorList {
	for _, word := range words {
		if value == word {
			return nil
		}
	}
	if value == "" {
		return nil
	}
	return field.ErrorList{field.NotSupported(path, T(cut(string(value))), words)}
}

func invalid(path *field.Path, value string, problems []string) field.ErrorList {
	var errs field.ErrorList
	for _, problem := range problems {
		errs = append(errs, field.Invalid(path, cut(value), problem))
	}
	return errs
}

// cut bounds what an error repeats of a value that should have been short.
func cut(value string) string {
	if len(value) <= 128 {
		return value
	}
	return strings.ToValidUTF8(value[:125], "") + "..."
}
