// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Between wants lo <= *value <= hi, both written in the error. Unset is fine.
func Between[T int32 | int64](value *T, lo, hi T, path *field.Path) field.ErrorList {
	if value == nil || *value >= lo && *value <= hi {
		return nil
	}
	return field.ErrorList{field.Invalid(path, *value, fmt.Sprintf("must be from %d to %d", lo, hi))}
}

// NotNegative is for counters.
func NotNegative[T int32 | int64](value T, path *field.Path) field.ErrorList {
	if value >= 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(path, value, "must not be negative")}
}
