// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Command safebeam runs Safebeam on one machine, without Kubernetes, and looks
// after its store. Called by the name of one of the kubectl plugins, it is that
// plugin.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"safebeam.dev/safebeam/pkg/cli"
)

func main() {
	// The first signal ends it in order, the second at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, filepath.Base(os.Args[0]), os.Args[1:]))
}

func run(ctx context.Context, name string, args []string) int {
	command := root()
	if plugin, ok := plugins[name]; ok {
		command = plugin()
	}
	command.SetArgs(args)
	if err := command.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(command.ErrOrStderr(), "%s: %v\n", name, err)
		return 1
	}
	return 0
}

var streams = genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}

// plugins are the other names that this program goes by.
var plugins = cli.Plugins(streams)

func root() *cobra.Command {
	command := &cobra.Command{
		Use:   "safebeam",
		Short: "LLM agents' work as Kubernetes API objects, on one machine",
		Long: `safebeam runs the API server, the gateway, the controllers and the jobs of
Safebeam in one process, without Kubernetes, and looks after their store.

Begin with:

  safebeam standalone`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	command.AddCommand(newStandalone(), newStore())
	command.AddCommand(cli.Commands(streams)...)
	return command
}
