// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"fmt"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/tools/remotecommand"

	"safebeam.dev/safebeam/pkg/cli/request"
)

func newExec(path string, streams genericiooptions.IOStreams) *cobra.Command {
	var stdin, tty bool
	command := &cobra.Command{
		Use:   "exec NAME [-it] -- COMMAND [ARGUMENT...]",
		Short: "Run a command in a sandbox",
		Long: `Run a command in a sandbox, with its standard streams here. No shell lies in
between. The command's exit code is this one's.

The command ends with the connection. What shall go on is an execution: see run.`,
		Example: request.Examples(`
  # A shell
  %[1]s -it box -- bash

  # A command
  %[1]s box -- ls -la /workspace

  # With standard input
  %[1]s -i box -- python3 - < script.py`, path),
		Args: func(command *cobra.Command, args []string) error {
			switch dash := command.ArgsLenAtDash(); {
			case len(args) == 0 || dash == 0:
				return request.Misused(command, "NAME is missing: %s", command.UseLine())
			case dash > 1:
				return request.Misused(command, "one NAME is expected, not %q", args[:dash])
			case dash < 0 && len(args) > 1:
				return request.Misused(command, "what shall run comes behind two dashes: %s -- %s", args[0], strings.Join(args[1:], " "))
			case len(args) == 1:
				return request.Misused(command, "COMMAND is missing: %s", command.UseLine())
			}
			return nil
		},
		DisableFlagsInUseLine: true,
	}
	target := request.AddTarget(command)
	command.SetFlagErrorFunc(func(command *cobra.Command, err error) error {
		return request.Misused(command, "%w; what shall run comes behind two dashes: %s", err, command.UseLine())
	})
	command.Flags().BoolVarP(&stdin, "stdin", "i", false, "Hand standard input to the command.")
	command.Flags().BoolVarP(&tty, "tty", "t", false, "Give the command a terminal.")
	command.ValidArgsFunction = request.First(completeSandboxes(target))
	command.RunE = func(command *cobra.Command, args []string) error {
		if err := request.ValidName("sandbox", args[0]); err != nil {
			return err
		}
		r, err := connect(target)
		if err != nil {
			return err
		}
		return request.Explain(r.attach(command.Context(), args[0], args[1:], streams, stdin, tty))
	}
	return command
}

// attach runs a command with the streams of this process.
func (r *remote) attach(ctx context.Context, sandbox string, argv []string, streams genericiooptions.IOStreams, stdin, tty bool) error {
	options := remotecommand.StreamOptions{Stdout: streams.Out, Stderr: streams.ErrOut}
	if stdin {
		options.Stdin = streams.In
	}
	if !tty {
		return r.exec(ctx, sandbox, argv, options)
	}
	keys, ok := terminal(streams.In)
	if !ok || !stdin {
		if stdin {
			fmt.Fprintln(streams.ErrOut, "Unable to use a TTY - input is not a terminal or the right kind of file")
		}
		options.Tty = !stdin // a command may want one, though nobody types
		if options.Tty {
			options.Stderr = nil
		}
		return r.exec(ctx, sandbox, argv, options)
	}
	// Signals of keys go through as keys; others end the command here, and the
	// terminal is put back.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	restore, err := raw(keys)
	if err != nil {
		return err
	}
	defer restore()
	options.Tty, options.Stderr = true, nil
	screen, ok := terminal(streams.Out)
	if !ok {
		screen = keys
	}
	options.TerminalSizeQueue = sizesOf(ctx, screen)
	return r.exec(ctx, sandbox, argv, options)
}
