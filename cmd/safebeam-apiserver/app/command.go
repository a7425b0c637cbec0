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
		Use:   "safebeam-apiserver",
		Short: "The API server and the gateway of Safebeam behind a kube-apiserver",
		Long: `Serve the API of Safebeam to a kube-apiserver that aggregates it, and the gRPC
gateway to jobs and agents. One process at a time may use a data directory.`,
		Args:          cobra.NoArgs,
		Version:       version.Get().String(),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(command *cobra.Command, _ []string) error {
			defer klog.Flush()
			if err := options.Complete(); err != nil {
				return err
			}
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
