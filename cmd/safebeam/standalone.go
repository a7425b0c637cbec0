// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"safebeam.dev/safebeam/pkg/standalone"
)

func newStandalone() *cobra.Command {
	options := standalone.NewOptions()
	verbosity := 0
	command := &cobra.Command{
		Use:   "standalone",
		Short: "Run everything in one process on loopback",
		Long: `Run the API server, the gateway, the controllers and the jobs in one process,
without Kubernetes. kubectl works against it with the kubeconfig that it writes.

Everything that is kept is in the data directory: the store, the kubeconfig with
the admin's credential, the secrets of models and the directories of jobs. It
belongs to one process at a time.

A model's secret is a directory of files, as a Secret mounted into a pod is:

  SECRETS_DIR/NAME/provider   anthropic, openai or gemini
  SECRETS_DIR/NAME/model      the provider's model id
  SECRETS_DIR/NAME/api-key    the key; only the jobs of the model read it

SIGTERM and Ctrl-C end it in order: jobs get five seconds to finish the turns that
they run, and the other turns go on with the next start.`,
		Example: `  safebeam standalone
  safebeam standalone --data-dir /var/lib/safebeam --secrets-dir /etc/safebeam/secrets
  export KUBECONFIG=~/.local/share/safebeam/kubeconfig
  kubectl get --raw /readyz`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			setUpLogs(verbosity)
			ctx, stop := orderly(command.Context())
			defer stop()
			if err := options.Complete(); err != nil {
				return err
			}
			if err := options.Validate(); err != nil {
				return err
			}
			err := standalone.Run(ctx, options, func(ready standalone.Ready) {
				out := command.ErrOrStderr()
				fmt.Fprintf(out, "safebeam: API server %s, gateway %s, data in %s\n", ready.Server, ready.Gateway, options.DataDir())
				fmt.Fprintf(out, "safebeam: ready; use it with\n  export KUBECONFIG=%s\n", ready.Kubeconfig)
			})
			if err == nil {
				fmt.Fprintln(command.ErrOrStderr(), "safebeam: stopped")
			}
			return err
		},
	}
	options.AddFlags(command.Flags())
	command.Flags().IntVarP(&verbosity, "v", "v", verbosity, "How much is logged. 0: warnings and errors; 2: what happens; 4 and more: for those who look for something.")
	command.Flags().SortFlags = false
	return command
}
