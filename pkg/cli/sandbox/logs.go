// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"fmt"
	"iter"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/cli/request"
	"safebeam.dev/safebeam/pkg/client"
)

func newLogs(path string, streams genericiooptions.IOStreams) *cobra.Command {
	var follow bool
	var stream string
	command := &cobra.Command{
		Use:   "logs EXECUTION [-f]",
		Short: "Show what an execution has written",
		Long: `Show what an execution has written: its standard output here on standard output,
its standard error on standard error. With -f, go on as it comes, across broken
connections, until the execution ends.

How it ended is on standard error. It does not change this command's exit code.`,
		Example: request.Examples(`
  # What it has written so far
  %[1]s box-x7k2m9qp

  # To its end, standard output alone
  %[1]s -f box-x7k2m9qp --stream stdout > result.csv`, path),
		Args:                  request.OneName("EXECUTION"),
		DisableFlagsInUseLine: true,
	}
	target := request.AddTarget(command)
	command.Flags().BoolVarP(&follow, "follow", "f", false, "Go on until the execution ends.")
	command.Flags().StringVar(&stream, "stream", "", "One of stdout and stderr. Default: both.")
	command.ValidArgsFunction = request.First(completeExecutions(target))
	_ = command.RegisterFlagCompletionFunc("stream", cobra.FixedCompletions([]string{string(llmsafespacev1.Stdout), string(llmsafespacev1.Stderr)}, cobra.ShellCompDirectiveNoFileComp))
	command.RunE = func(command *cobra.Command, args []string) error {
		if err := request.ValidName("execution", args[0]); err != nil {
			return err
		}
		one := llmsafespacev1.OutputStream(stream)
		if one != "" && one != llmsafespacev1.Stdout && one != llmsafespacev1.Stderr {
			return fmt.Errorf("--stream=%s: it must be stdout or stderr", stream)
		}
		r, err := connect(target)
		if err != nil {
			return err
		}
		if follow {
			err = r.follow(command.Context(), args[0], one, streams)
		} else {
			_, err = show(client.ExecutionLog(command.Context(), r.RESTClient(), r.namespace, args[0], one, 0), streams)
		}
		if _, ended := exitCode(err); err != nil && ended {
			fmt.Fprintf(streams.ErrOut, "[%v]\n", err)
			err = nil
		}
		return request.Explain(err)
	}
	return command
}

// follow shows an execution to its end. One that does not succeed is a
// utilexec.CodeExitError.
func (r *remote) follow(ctx context.Context, execution string, stream llmsafespacev1.OutputStream, streams genericiooptions.IOStreams) error {
	end, err := show(client.Execution(ctx, r.RESTClient(), r.namespace, execution, stream, 0), streams)
	if err != nil {
		return err
	}
	return outcome(end)
}

// show writes events out, and returns the last if it is the end.
func show(events iter.Seq2[llmsafespacev1.ExecutionEvent, error], streams genericiooptions.IOStreams) (end *llmsafespacev1.ExecutionEvent, err error) {
	for e, err := range events {
		if err != nil {
			return nil, err
		}
		switch e.Type {
		case llmsafespacev1.ExecutionEventOutput:
			out := streams.Out
			if e.Stream == llmsafespacev1.Stderr {
				out = streams.ErrOut
			}
			if _, err := out.Write(e.Data()); err != nil {
				return nil, err
			}
		case llmsafespacev1.ExecutionEventTruncated:
			fmt.Fprintf(streams.ErrOut, "[%d bytes of %s are left out here]\n", e.Omitted, e.Stream)
		case llmsafespacev1.ExecutionEventResumed:
			fmt.Fprintf(streams.ErrOut, "[events %d to %d were lost when the server stopped]\n", e.LostFrom, e.LostTo)
		}
		if e.Type.Terminal() {
			end = &e
		}
	}
	return end, nil
}

// nonZeroExitCode is the reason of executions that only did not end well.
const nonZeroExitCode = "NonZeroExitCode"

// outcome is the end of an execution as that of a command.
func outcome(e *llmsafespacev1.ExecutionEvent) error {
	if e == nil || e.Type == llmsafespacev1.ExecutionEventSucceeded {
		return nil
	}
	code := 1
	if e.ExitCode != nil && *e.ExitCode != 0 {
		code = int(*e.ExitCode)
	} else if e.Type == llmsafespacev1.ExecutionEventTimedOut {
		code = llmsafespacev1.ExitCodeTimedOut
	}
	why := ""
	if e.Reason != "" {
		why = ", " + e.Reason
	}
	if e.Message != "" {
		why += ": " + e.Message
	}
	if e.Reason == nonZeroExitCode {
		why = "" // it says what is said anyway
	}
	why = request.Printable(why)
	switch {
	case e.Type == llmsafespacev1.ExecutionEventFailed && e.Signal != "":
		return exited(code, "command terminated by %s%s", request.Printable(e.Signal), why)
	case e.Type == llmsafespacev1.ExecutionEventFailed && e.ExitCode != nil:
		return exited(code, "command terminated with exit code %d%s", code, why)
	case e.Type == llmsafespacev1.ExecutionEventTimedOut:
		return exited(code, "command ran out of time%s", why)
	}
	return exited(code, "command is %s%s", e.Type, why)
}
