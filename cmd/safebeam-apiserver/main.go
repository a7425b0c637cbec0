// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Command safebeam-apiserver serves Safebeam's API groups behind a
// kube-apiserver, which it asks who a request is from and what they may do.
package main

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/component-base/cli"
	logsapi "k8s.io/component-base/logs/api/v1"

	"safebeam.dev/safebeam/pkg/apiserver"
	"safebeam.dev/safebeam/pkg/apiserver/options"
)

func main() {
	os.Exit(cli.Run(newCommand(genericapiserver.SetupSignalContext())))
}

func newCommand(ctx context.Context) *cobra.Command {
	o := options.NewOptions()
	logs := logsapi.NewLoggingConfiguration()
	command := &cobra.Command{
		Use:   "safebeam-apiserver",
		Short: "Serve Safebeam's API groups behind a kube-apiserver",
		Long: `Serve conversations, turns and models as an aggregated API server: kube-apiserver
forwards what an APIService names to it. Requests are authenticated by the front
proxy's certificate or a TokenReview and authorized by a SubjectAccessReview.

All objects, logs and the server's own keys are in its store: the embedded one in
--data-dir, for one replica on a volume, or an etcd cluster.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := logsapi.ValidateAndApply(logs, nil); err != nil {
				return err
			}
			if err := o.Complete(); err != nil {
				return err
			}
			if err := o.Validate(); err != nil {
				return err
			}
			return run(ctx, o)
		},
	}
	o.AddFlags(command.Flags())
	logsapi.AddFlags(logs, command.Flags())
	return command
}

func run(ctx context.Context, o *options.Options) (err error) {
	opened, err := o.Config(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	server, err := opened.Complete().New()
	if err != nil {
		return err
	}
	server.Add(apiserver.Component{Name: "certificates", Run: opened.Authority.Run})
	return server.Run(ctx)
}
