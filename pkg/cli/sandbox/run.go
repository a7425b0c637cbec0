// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/cli/request"
)

// runFlags are what a user may say about a run, beside its sandbox.
type runFlags struct {
	specFlags
	file, code, language, workingDir string
	stdin, tty, keep, detach         bool
	timeout, patience                time.Duration

	command []string // behind the two dashes
}

func newRun(path string, streams genericiooptions.IOStreams) *cobra.Command {
	f := runFlags{patience: defaultPatience}
	command := &cobra.Command{
		Use:   "run (--runtime=RUNTIME | NAME) (-f FILE | --code=TEXT | [-it] -- COMMAND [ARGUMENT...])",
		Short: "Run code or a command, in a sandbox of its own or one that is there",
		Long: `Run code or a command, and show what it writes as it comes. Its exit code is this
one's; 124 means that its time was over.

With --runtime it gets a sandbox of its own, which is deleted in the end. With a
NAME it runs in that one.

What runs is an Execution: its output stays readable for an hour, see logs. With
-i or -t a command has the standard streams of this one instead.`,
		Example: request.Examples(`
  # A script, in a sandbox of its own
  %[1]s --runtime python:3.10 -f script.py

  # A command
  %[1]s --runtime python:3.10 -- python -c 'print(6 * 7)'

  # A shell, in a sandbox that stays
  %[1]s --runtime nodejs --keep -it -- bash

  # Code in a sandbox that is there
  %[1]s box --code 'import numpy; print(numpy.__version__)'

  # Something that takes long: come back for its output, with logs -f
  %[1]s box --detach --timeout 1h -- make all`, path),
		Args: func(command *cobra.Command, args []string) error {
			dash := command.ArgsLenAtDash()
			if dash < 0 {
				dash = len(args)
			}
			if dash > 1 {
				return request.Misused(command, "one NAME is expected, not %q: what shall run comes behind two dashes", args[:dash])
			}
			return nil
		},
		DisableFlagsInUseLine: true,
	}
	target := request.AddTarget(command)
	flags := command.Flags()
	f.add(command, flags, target)
	flags.StringVarP(&f.file, "file", "f", "", "A file with code to run, - for standard input.")
	flags.StringVar(&f.code, "code", "", "Code to run.")
	flags.StringVar(&f.language, "language", "", "The language of the code. Default: that of the runtime.")
	flags.StringVar(&f.workingDir, "working-dir", "", "Where it starts. Default: /workspace.")
	flags.DurationVar(&f.timeout, "timeout", 0, "How long it may run. Default: 30s.")
	flags.BoolVarP(&f.stdin, "stdin", "i", false, "Hand standard input to it.")
	flags.BoolVarP(&f.tty, "tty", "t", false, "Give the command a terminal.")
	flags.BoolVar(&f.keep, "keep", false, "Keep the sandbox.")
	flags.BoolVar(&f.detach, "detach", false, "Do not wait: print the name of the Execution.")
	flags.DurationVar(&f.patience, "running-timeout", f.patience, "How long the sandbox may take until it runs; with --detach the execution waits by itself.")
	command.ValidArgsFunction = request.First(completeSandboxes(target))

	command.RunE = func(command *cobra.Command, args []string) error {
		name := ""
		if dash := command.ArgsLenAtDash(); dash >= 0 {
			f.command, args = args[dash:], args[:dash]
		}
		if len(args) > 0 {
			name = args[0]
		}
		if err := f.validate(name, flags.Changed); err != nil {
			return err
		}
		execution, err := f.execution(flags.Changed, streams.In)
		if err != nil {
			return err
		}
		r, err := connect(target)
		if err != nil {
			return err
		}
		// The first signal ends in order: what was made here is taken away.
		ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
		context.AfterFunc(ctx, stop)
		defer stop()
		err = f.run(ctx, r, name, execution, flags.Changed, streams)
		if ctx.Err() != nil {
			return exited(128+int(syscall.SIGINT), "interrupted")
		}
		return request.Explain(err)
	}
	return command
}

// ownFlags are about a sandbox that is made, and say nothing to one that is there.
var ownFlags = []string{"runtime", "security-level", "profile", "lifetime", "idle-timeout", "cpu", "memory", "ephemeral-storage", "cold", "keep"}

func (f *runFlags) validate(name string, given func(flag string) bool) error {
	if name != "" {
		if err := request.ValidName("sandbox", name); err != nil {
			return err
		}
		for _, flag := range ownFlags {
			if given(flag) {
				return fmt.Errorf("--%s is for a sandbox that is made, and %q is there already", flag, name)
			}
		}
	} else if f.runtime == "" {
		return errors.New("where? Give --runtime for a sandbox of its own, or the NAME of one")
	}
	ways := 0
	for _, way := range []bool{given("file"), given("code"), len(f.command) > 0} {
		if way {
			ways++
		}
	}
	code := given("file") || given("code")
	switch {
	case ways == 0:
		return errors.New("what? Give -f FILE, --code=TEXT or -- COMMAND")
	case ways > 1:
		return errors.New("-f, --code and -- COMMAND exclude each other")
	case !code && given("language"):
		return errors.New("--language is for code")
	case code && f.tty:
		return errors.New("-t is for commands: code is run by an interpreter that nobody types to")
	case f.file == "-" && f.stdin:
		return errors.New("standard input is either the code (-f -) or what the code reads (-i)")
	case f.detach && name == "" && !f.keep:
		return errors.New("--detach needs a sandbox that stays: give --keep or a NAME")
	case f.detach && (f.stdin || f.tty):
		return errors.New("--detach lets go of the streams that -i and -t ask for")
	case f.attached() && given("timeout"):
		return errors.New("--timeout is for executions, and -i or -t makes it none: use the command timeout")
	case f.attached() && given("working-dir"):
		return errors.New("--working-dir is for executions, and -i or -t makes it none: use env -C DIRECTORY COMMAND")
	case f.attached() && name != "" && given("env"):
		return errors.New("--env is for executions and new sandboxes: use env NAME=VALUE COMMAND")
	}
	return nil
}

// attached: it has the streams of this process, and ends with it.
func (f *runFlags) attached() bool { return len(f.command) > 0 && (f.stdin || f.tty) }

func (f *runFlags) run(ctx context.Context, r *remote, name string, execution *llmsafespacev1.Execution, given func(flag string) bool, streams genericiooptions.IOStreams) (err error) {
	there := name != ""
	if !there {
		sandbox, err := f.own(ctx, r, given)
		if sandbox != nil {
			name = sandbox.Name
			if f.keep {
				fmt.Fprintf(streams.ErrOut, "sandbox.llmsafespace.dev/%s created\n", name)
			} else {
				defer func() { err = errors.Join(err, r.remove(ctx, sandbox)) }()
			}
		}
		if err != nil {
			return err
		}
	}
	if f.attached() {
		return r.attach(ctx, name, f.command, streams, f.stdin, f.tty)
	}
	execution.Namespace, execution.Name, execution.Spec.Sandbox = r.namespace, request.NewName(name), name
	created, err := r.start(ctx, execution)
	if err != nil {
		return err
	}
	if f.detach {
		_, err := fmt.Fprintln(streams.Out, created.Name)
		return err
	}
	if there {
		// Nobody waits here for longer than they said, so neither does what shall run.
		if err := r.awaitThere(ctx, name, f.patience, streams.ErrOut); err != nil {
			return errors.Join(err, r.cancel(ctx, created))
		}
	}
	err = r.follow(ctx, created.Name, "", streams)
	if ctx.Err() != nil {
		return errors.Join(ctx.Err(), r.cancel(ctx, created))
	}
	return err
}

// own makes a sandbox and waits until it runs. One that does not run is
// returned too, beside the error.
func (f *runFlags) own(ctx context.Context, r *remote, given func(flag string) bool) (*llmsafespacev1.Sandbox, error) {
	sandbox, err := f.sandbox(r.namespace, request.NewName("run"), given)
	if err != nil {
		return nil, err
	}
	if !given("lifetime") && given("timeout") && f.timeout > roomForDefault {
		// What runs must not outlive where it runs.
		if sandbox.Spec.Timeout, err = request.Seconds("--timeout", f.timeout+roomForStart, 1); err != nil {
			return nil, err
		}
	}
	created, err := request.Again(ctx, func() (*llmsafespacev1.Sandbox, error) {
		return r.Sandboxes(r.namespace).Create(ctx, sandbox, noOptions)
	})
	if apierrors.IsAlreadyExists(err) {
		// The name is ours alone: an earlier request was carried out.
		created, err = r.Sandboxes(r.namespace).Get(ctx, sandbox.Name, metav1.GetOptions{})
	}
	if err != nil {
		if ctx.Err() == nil {
			return nil, err
		}
		return sandbox, err // it may have been made all the same
	}
	if running, err := r.awaitRunning(ctx, created, f.patience); err != nil {
		return created, err
	} else {
		return running, nil
	}
}

// A sandbox lives for five minutes unless it is told otherwise.
const (
	roomForStart   = time.Minute
	roomForDefault = 5*time.Minute - roomForStart
)

// remove takes away what run has made. ctx may be over.
func (r *remote) remove(ctx context.Context, sandbox *llmsafespacev1.Sandbox) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	options := metav1.DeleteOptions{}
	if sandbox.UID != "" {
		options.Preconditions = metav1.NewUIDPreconditions(string(sandbox.UID))
	}
	err := r.Sandboxes(r.namespace).Delete(ctx, sandbox.Name, options)
	if err == nil || apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("sandbox %q could not be deleted and stays to the end of its lifetime: %w", sandbox.Name, err)
}

// farewell bounds what is done behind a signal.
const farewell = 10 * time.Second

// cancel ends an execution whose user has left. ctx may be over.
func (r *remote) cancel(ctx context.Context, execution *llmsafespacev1.Execution) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	err := r.RESTClient().Post().Namespace(r.namespace).Resource("executions").Name(execution.Name).SubResource("cancel").Do(ctx).Error()
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// start creates an execution, once.
func (r *remote) start(ctx context.Context, execution *llmsafespacev1.Execution) (*llmsafespacev1.Execution, error) {
	created, err := request.Again(ctx, func() (*llmsafespacev1.Execution, error) {
		return r.Executions(r.namespace).Create(ctx, execution, noOptions)
	})
	if apierrors.IsAlreadyExists(err) {
		return r.Executions(r.namespace).Get(ctx, execution.Name, metav1.GetOptions{})
	}
	return created, err
}

// execution is the object that the flags describe, but for where it is.
func (f *runFlags) execution(given func(flag string) bool, stdin io.Reader) (*llmsafespacev1.Execution, error) {
	execution := &llmsafespacev1.Execution{
		Spec: llmsafespacev1.ExecutionSpec{
			Code: f.code, Command: f.command, Language: f.language, WorkingDir: f.workingDir,
		},
	}
	var err error
	if given("file") {
		if execution.Spec.Code, err = readText(f.file, stdin); err != nil {
			return nil, fmt.Errorf("--file: %w", err)
		}
	}
	if f.stdin && !f.attached() {
		if execution.Spec.Stdin, err = readText("-", stdin); err != nil {
			return nil, err
		}
	}
	if given("timeout") {
		if execution.Spec.TimeoutSeconds, err = request.Seconds("--timeout", f.timeout, 1); err != nil {
			return nil, err
		}
	}
	if execution.Spec.Env, err = variables(f.env); err != nil {
		return nil, err
	}
	return execution, nil
}

// maxText bounds what is read into a request. The server has the last word.
const maxText = 8 << 20

func readText(name string, stdin io.Reader) (string, error) {
	input, shown := stdin, "standard input"
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return "", err
		}
		defer file.Close()
		input, shown = file, name
	}
	data, err := io.ReadAll(io.LimitReader(input, maxText+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("reading %s: %w", shown, err)
	case len(data) > maxText:
		return "", fmt.Errorf("%s has more than %d MiB, which is the most that one request may carry: use cp", shown, maxText>>20)
	case !utf8.Valid(data):
		return "", fmt.Errorf("%s is not text in UTF-8: use cp", shown)
	}
	return string(data), nil
}
