// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned/scheme"
)

// serializer reads the errors that the server answers with.
var serializer = scheme.Codecs.WithoutConversion()
