// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"safebeam.dev/safebeam/pkg/cli/request"
)

func newCreate(path string, streams genericiooptions.IOStreams) *cobra.Command {
	var f specFlags
	var wait bool
	patience := defaultPatience
	command := &cobra.Command{
		Use:   "create NAME --runtime=RUNTIME",
		Short: "Make a sandbox",
		Long: `Make a sandbox. It ends with its lifetime, or earlier when it is deleted:
kubectl delete sandbox NAME.`,
		Example: request.Examples(`
  # A sandbox with Python
  %[1]s box --runtime python:3.11

  # One that stays as long as it is used, with more memory; wait until it runs
  %[1]s box --runtime nodejs --lifetime 8h --idle-timeout 20m --memory 2Gi --wait

  # One with a kernel of its own
  %[1]s box --runtime python --security-level high

  # See what would be sent
  %[1]s box --runtime python --dry-run=client -o yaml`, path),
		Args:                  request.OneName("NAME"),
		DisableFlagsInUseLine: true,
	}
	target := request.AddTarget(command)
	creation := request.AddCreation(command)
	flags := command.Flags()
	f.add(command, flags, target)
	flags.BoolVar(&wait, "wait", false, "Wait until it is Running.")
	flags.DurationVar(&patience, "running-timeout", patience, "With --wait: how long.")
	command.ValidArgsFunction = cobra.NoFileCompletions

	command.RunE = func(command *cobra.Command, args []string) error {
		if err := creation.Validate(); err != nil {
			return err
		}
		if err := request.ValidName("sandbox", args[0]); err != nil {
			return err
		}
		namespace, err := target.Namespace()
		if err != nil {
			return err
		}
		sandbox, err := f.sandbox(namespace, args[0], flags.Changed)
		if err != nil {
			return err
		}
		if creation.ClientOnly() {
			return creation.Show(sandbox, streams)
		}
		r, err := connect(target)
		if err != nil {
			return err
		}
		created, err := r.Sandboxes(namespace).Create(command.Context(), sandbox, creation.Options())
		if err != nil {
			return request.Explain(err)
		}
		if wait && !creation.Dry() {
			if created, err = r.awaitRunning(command.Context(), created, patience); err != nil {
				return request.Explain(err)
			}
		}
		return creation.Show(created, streams)
	}
	return command
}

// defaultPatience is how long a sandbox may take to run: an image may have to
// be pulled.
const defaultPatience = 2 * time.Minute

var noOptions = metav1.CreateOptions{FieldManager: "kubectl-sandbox", FieldValidation: metav1.FieldValidationStrict}
