// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"safebeam.dev/safebeam/pkg/cli/request"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
)

// New is the command, known to its user as path, with those below it.
func New(path string, streams genericiooptions.IOStreams) *cobra.Command {
	command := &cobra.Command{
		Use:     "sandbox",
		Aliases: []string{"sb"},
		Short:   "Run code in sandboxes",
		Long: `Run code that nobody trusts: in sandboxes that are made for it, and from which
nothing gets out. What is not here is kubectl's own: kubectl get, describe or
delete sandbox NAME.`,
		Example: request.Examples(`
  # Run a script in a sandbox of its own, which goes when it ends
  %[1]s run --runtime python:3.10 -f script.py

  # Make a sandbox, look around in it, and move files
  %[1]s create box --runtime python --wait
  %[1]s exec -it box -- bash
  %[1]s cp data.csv box:/workspace/
  %[1]s ls box:/workspace`, path),
		Args:                  request.SubcommandsOnly,
		RunE:                  func(command *cobra.Command, _ []string) error { return command.Help() },
		DisableFlagsInUseLine: true,
	}
	command.AddCommand(
		newCreate(path+" create", streams), newRun(path+" run", streams), newExec(path+" exec", streams),
		newCp(path+" cp", streams), newLogs(path+" logs", streams), newLs(path+" ls", streams),
	)
	return command
}

func completeSandboxes(target *request.Target) cobra.CompletionFunc {
	return target.Complete(func(ctx context.Context, clients versioned.Interface, namespace string, options metav1.ListOptions) (runtime.Object, error) {
		return clients.LlmsafespaceV1().Sandboxes(namespace).List(ctx, options)
	})
}

func completeExecutions(target *request.Target) cobra.CompletionFunc {
	return target.Complete(func(ctx context.Context, clients versioned.Interface, namespace string, options metav1.ListOptions) (runtime.Object, error) {
		return clients.LlmsafespaceV1().Executions(namespace).List(ctx, options)
	})
}

func completeRuntimes(target *request.Target) cobra.CompletionFunc {
	return target.Complete(func(ctx context.Context, clients versioned.Interface, _ string, options metav1.ListOptions) (runtime.Object, error) {
		return clients.LlmsafespaceV1().RuntimeEnvironments().List(ctx, options)
	})
}
