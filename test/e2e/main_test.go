// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"testing"

	"safebeam.dev/safebeam/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }
