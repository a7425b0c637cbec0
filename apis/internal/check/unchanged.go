// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"encoding/json"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Unchanged wants two values of one type to be equal, and names what is not: the
// innermost field, a list or map as a whole. why says that it cannot change, and what
// to do instead. equal is the equality of the API group.
func Unchanged(changed, old any, equal func(a, b any) bool, path *field.Path, why string) field.ErrorList {
	if equal(changed, old) {
		return nil
	}
	var errs field.ErrorList
	a, b := reflect.ValueOf(changed), reflect.ValueOf(old)
	if a.Kind() == reflect.Pointer && !a.IsNil() && !b.IsNil() {
		a, b = a.Elem(), b.Elem()
	}
	// What writes itself (a quantity, a time) is one value.
	if _, value := reflect.New(a.Type()).Interface().(json.Marshaler); a.Kind() == reflect.Struct && !value {
		for i := range a.NumField() {
			name, options, _ := strings.Cut(a.Type().Field(i).Tag.Get("json"), ",")
			at := path
			if name != "" {
				at = path.Child(name)
			} else if options != "inline" {
				continue
			}
			errs = append(errs, Unchanged(a.Field(i).Interface(), b.Field(i).Interface(), equal, at, why)...)
		}
	}
	if len(errs) == 0 {
		errs = append(errs, field.Forbidden(path, why))
	}
	return errs
}
