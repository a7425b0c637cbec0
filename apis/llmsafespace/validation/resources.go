// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"math"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

func resources(resources *v1.Resources, limits Limits, path *field.Path) field.ErrorList {
	if resources == nil {
		return nil
	}
	errs := quantity(resources.CPU, minCPU, limits.CPU, path.Child("cpu"))
	errs = append(errs, bytes(resources.Memory, minMemory, limits.Memory, path.Child("memory"))...)
	errs = append(errs, bytes(resources.EphemeralStorage, minStorage, limits.EphemeralStorage, path.Child("ephemeralStorage"))...)
	if resources.CPUPinning {
		errs = append(errs, field.Forbidden(path.Child("cpuPinning"), "is not supported: leave it out"))
	}
	if resources.GPU != "" {
		errs = append(errs, field.Forbidden(path.Child("gpu"), "is not supported: leave it out"))
	}
	return errs
}

// quantity wants least <= *q <= most, where there is a most.
func quantity(q *resource.Quantity, least, most resource.Quantity, path *field.Path) field.ErrorList {
	switch {
	case q == nil:
		return nil
	case q.Cmp(least) < 0:
		return field.ErrorList{field.Invalid(path, q.String(), "must be at least "+least.String())}
	case !most.IsZero() && q.Cmp(most) > 0:
		return field.ErrorList{field.Invalid(path, q.String(), "must be at most "+most.String()+", the server's maximum")}
	case q.CmpInt64(math.MaxInt64/1000) > 0: // beyond that, Kubernetes cannot count the thousandths
		return field.ErrorList{field.Invalid(path, q.String(), "is larger than can be counted")}
	}
	return nil
}

// bytes is a quantity of whole bytes: 512m is half a byte, and a mistake.
func bytes(q *resource.Quantity, least, most resource.Quantity, path *field.Path) field.ErrorList {
	if errs := quantity(q, least, most, path); len(errs) > 0 || q == nil {
		return errs
	}
	if whole := resource.NewQuantity(q.Value(), q.Format); whole.Cmp(*q) != 0 {
		return field.ErrorList{field.Invalid(path, q.String(), "must be a whole number of bytes, such as 512Mi")}
	}
	return nil
}
