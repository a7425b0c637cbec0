// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxd

import (
	"fmt"
	"io"
	"os"
)

// Install copies the running binary to path, so that an init container can put it
// beside a runtime image that does not have it.
func Install(path string) error {
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		return fmt.Errorf("installing to %s: %w", path, err)
	}
	if err := to.Chmod(0o755); err != nil {
		to.Close()
		return err
	}
	return to.Close()
}
