// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"
	"net"

	"github.com/spf13/pflag"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"

	"safebeam.dev/safebeam/pkg/apiserver/options"
)

// Options are the flags of the server.
type Options struct {
	Server *options.Options
	// GatewayAddress is where the gateway listens.
	GatewayAddress string
	// SandboxGatewayAddress is where the gateway of sandboxes listens.
	SandboxGatewayAddress string
	// GatewayNames are what jobs, agents and sandboxes call the gateway.
	GatewayNames []string
	// APIServices lead to this server.
	APIServices []string
}

// NewOptions returns the defaults.
func NewOptions() *Options {
	o := &Options{
		Server:                options.NewOptions(),
		GatewayAddress:        ":7444",
		SandboxGatewayAddress: ":7445",
		APIServices:           []string{"v1.tightbeam.dev", "v1.llmsafespace.dev"},
	}
	o.Server.Storage.BBolt.DataDir = "/var/lib/safebeam"
	return o
}

// AddFlags adds the flags to fs.
func (o *Options) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.GatewayAddress, "gateway-address", o.GatewayAddress,
		"The address that the gRPC gateway listens on, for jobs and agents.")
	fs.StringVar(&o.SandboxGatewayAddress, "sandbox-gateway-address", o.SandboxGatewayAddress,
		"The address that the gateway of sandboxes listens on.")
	fs.StringSliceVar(&o.GatewayNames, "gateway-names", o.GatewayNames,
		"Host names that jobs, agents and sandboxes reach the gateway by, for its certificates.")
	fs.StringSliceVar(&o.APIServices, "api-services", o.APIServices,
		"The APIServices that lead to this server. The authority of its certificate is written into their caBundle. Empty: into none.")
	o.Server.AddFlags(fs)
}

// Complete fills in what can be derived.
func (o *Options) Complete() error { return o.Server.Complete() }

// Validate reports every setting that cannot be honoured.
func (o *Options) Validate() error {
	var errs []error
	if err := o.Server.Validate(); err != nil {
		errs = append(errs, err)
	}
	if _, _, err := net.SplitHostPort(o.GatewayAddress); err != nil {
		errs = append(errs, fmt.Errorf("--gateway-address: %w", err))
	}
	if _, _, err := net.SplitHostPort(o.SandboxGatewayAddress); err != nil {
		errs = append(errs, fmt.Errorf("--sandbox-gateway-address: %w", err))
	}
	return utilerrors.NewAggregate(errs)
}
