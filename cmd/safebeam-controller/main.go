// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Command safebeam-controller runs the loops of Safebeam on a cluster: jobs of
// models, and the end of what has had its time.
package main

import (
	"fmt"
	"os"

	genericapiserver "k8s.io/apiserver/pkg/server"

	"safebeam.dev/safebeam/cmd/safebeam-controller/app"
)

func main() {
	command := app.NewCommand()
	if err := command.ExecuteContext(genericapiserver.SetupSignalContext()); err != nil {
		fmt.Fprintln(os.Stderr, "safebeam-controller:", err)
		os.Exit(1)
	}
}
