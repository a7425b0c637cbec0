// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package executions

import "slices"

// FromStdin is how code of a language is run that comes by stdin: where no file
// may be left behind, and there is no user whose stdin it is.
func FromStdin(language string) (argv []string, ok bool) {
	i, ok := interpreterOf(language)
	if !ok {
		return nil, false
	}
	return append(slices.Clone(i.argv), "/dev/stdin"), true
}
