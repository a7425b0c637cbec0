// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Text wants at most limit bytes of UTF-8 without NUL.
func Text(text string, limit int, path *field.Path) field.ErrorList {
	switch {
	case len(text) > limit:
		return field.ErrorList{field.TooLong(path, "", limit)}
	case !utf8.ValidString(text):
		return field.ErrorList{hidden(path, "must be UTF-8")}
	case strings.ContainsRune(text, 0):
		return field.ErrorList{hidden(path, "must not contain the NUL character")}
	}
	return nil
}

// Line is a Text in one line.
func Line(text string, limit int, path *field.Path) field.ErrorList {
	if errs := Text(text, limit, path); len(errs) > 0 {
		return errs
	}
	if i := strings.IndexFunc(text, unicode.IsControl); i >= 0 {
		return field.ErrorList{hidden(path, fmt.Sprintf("must be one line without control characters; there is one at byte %d", i))}
	}
	return nil
}

// Word is a Line that is not empty and has no spaces. what is asked for when
// there is none.
func Word(word string, limit int, what string, path *field.Path) field.ErrorList {
	if word == "" {
		return field.ErrorList{field.Required(path, what)}
	}
	if errs := Line(word, limit, path); len(errs) > 0 {
		return errs
	}
	if strings.IndexFunc(word, unicode.IsSpace) >= 0 {
		return field.ErrorList{field.Invalid(path, cut(word), "must not contain spaces")}
	}
	return nil
}

// hidden is an error about a value that is not repeated in it.
func hidden(path *field.Path, detail string) *field.Error {
	return field.Invalid(path, field.OmitValueType{}, detail)
}
