// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"flag"

	"github.com/spf13/cobra"
	"k8s.io/component-base/version"
	"k8s.io/klog/v2"
)

// NewCommand returns the command.
func NewCommand() *cobra.Command {
	options := NewOptions()
	command := &cobra.Command{
		Use:   "safebeam-controller",
		Short: "The loops of Safebeam on a cluster",
		Long: `Run the jobs of models as Kubernetes Jobs and sandboxes as pods, keep warm pools
at their size, write the statuses of all of them, and delete what its time is
over for. Of several processes, the holder of a Lease works.`,
		Args:          cobra.NoArgs,
		Version:       version.Get().String(),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(command *cobra.Command, _ []string) error {
			defer klog.Flush()
			options.Complete()
			if err := options.Validate(); err != nil {
				return err
			}
			return Run(command.Context(), options)
		},
	}
	options.AddFlags(command.Flags())
	logFlags := flag.NewFlagSet("klog", flag.PanicOnError)
	klog.InitFlags(logFlags)
	command.Flags().AddGoFlag(logFlags.Lookup("v"))
	return command
}
