// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package generic

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
)

// NotA is the error of an AttrFunc that was given the object of another kind.
func NotA(kind string, obj runtime.Object) error {
	return fmt.Errorf("%T is not a %s", obj, kind)
}
