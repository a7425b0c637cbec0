// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"io"
	"os"
	"testing"

	"k8s.io/klog/v2"

	"safebeam.dev/safebeam/pkg/sandboxd/sandboxdtest"
)

const namespace = "agents"

func TestMain(m *testing.M) {
	sandboxdtest.Main()
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	os.Exit(m.Run())
}
