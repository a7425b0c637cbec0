// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Command safebeam runs Safebeam on one machine, without Kubernetes, and looks
// after its store. Called by the name of one of the kubectl plugins, it is that
// plugin.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	utilexec "k8s.io/client-go/util/exec"
	"k8s.io/component-base/version"

	"safebeam.dev/safebeam/pkg/cli"
	"safebeam.dev/safebeam/pkg/cli/request"
)

func main() {
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	os.Exit(run(context.Background(), streams, filepath.Base(os.Args[0]), os.Args[1:]))
}

// run runs the plugin of that name, or safebeam itself.
func run(ctx context.Context, streams genericiooptions.IOStreams, name string, args []string) int {
	command := root(streams)
	if plugin, ok := cli.Plugins(streams)[name]; ok {
		command = plugin()
	}
	command.SetArgs(args)
	if err := command.ExecuteContext(ctx); err != nil {
		// The end of a command elsewhere is no error of ours.
		if exit := utilexec.ExitError(nil); errors.As(err, &exit) && exit.Exited() {
			fmt.Fprintln(streams.ErrOut, err)
			return exit.ExitStatus()
		}
		fmt.Fprintf(streams.ErrOut, "error: %v\n", err)
		return 1
	}
	return 0
}

// orderly is ctx until a signal comes. The first one ends a command in order,
// the second at once. Commands that keep nothing need no order: a signal ends
// them as it does every program, or as they say themselves.
func orderly(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

func root(streams genericiooptions.IOStreams) *cobra.Command {
	command := &cobra.Command{
		Use:   "safebeam",
		Short: "LLM agents' work as Kubernetes API objects, on one machine",
		Long: `safebeam runs the API server, the gateway, the controllers and the jobs of
Safebeam in one process, without Kubernetes, and looks after their store. Its
other commands are those of the kubectl plugins, where there is no kubectl.

Begin with:

  safebeam standalone`,
		Version:       version.Get().String(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	command.SetIn(streams.In)
	command.SetOut(streams.Out)
	command.SetErr(streams.ErrOut)
	command.SetFlagErrorFunc(func(command *cobra.Command, err error) error { return request.Misused(command, "%w", err) })
	command.AddCommand(newStandalone(), newStore())
	command.AddCommand(cli.Commands(streams)...)
	return command
}
