// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Command safebeam-apiserver is the API server and the gateway of Safebeam
// behind a kube-apiserver.
package main

import (
	"fmt"
	"os"

	genericapiserver "k8s.io/apiserver/pkg/server"

	"safebeam.dev/safebeam/cmd/safebeam-apiserver/app"
)

func main() {
	command := app.NewCommand()
	if err := command.ExecuteContext(genericapiserver.SetupSignalContext()); err != nil {
		fmt.Fprintln(os.Stderr, "safebeam-apiserver:", err)
		os.Exit(1)
	}
}
