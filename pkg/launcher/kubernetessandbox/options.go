// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetessandbox

import (
	"fmt"
	"net"
	"strconv"

	clientset "k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
)

// Options are what the launcher works with.
type Options struct {
	Client clientset.Interface
	// GatewayAddress is host:port of the gateway for sandboxes. The certificate is
	// verified for the host; pods are given its address.
	GatewayAddress string
	// GatewayNamespace and GatewayLabels select the pods of the gateway, for
	// NetworkPolicies.
	GatewayNamespace string
	GatewayLabels    map[string]string
	// GatewayCA returns the certificates, as PEM, that the gateway's comes from,
	// and nothing while they are not known.
	GatewayCA func() []byte
	// ClusterCIDRs are ranges of the cluster that are not private ones, which a
	// wider egress rule does not open.
	ClusterCIDRs []string
	// AgentImage has sandboxd.
	AgentImage string
	// RuntimeClass is that of the security level high.
	RuntimeClass string
	// UserNamespaces gives every pod a user namespace of its own.
	UserNamespaces bool
	// PidsLimit is the number of processes and threads at which sandboxd ends the
	// guest.
	PidsLimit int64
	// StorageClass of persistent volumes; empty: the cluster's default.
	StorageClass string
	// ClusterDomain is the DNS name of the cluster.
	ClusterDomain string
	// OpenCommand tells people how to open a namespace; it has one %s.
	OpenCommand string
	// Resolve finds the addresses of a name. Default: the system's resolver.
	Resolve Resolver
	Clock   clock.WithTicker
}

// Defaults of Options.
const (
	DefaultRuntimeClass = "gvisor"
	DefaultPidsLimit    = 512
	// minPidsLimit is what sandboxd needs for its own threads, and some more.
	minPidsLimit = 64
)

// Validate reports what could never work.
func (o *Options) Validate() error {
	if _, _, err := o.gateway(); err != nil {
		return err
	}
	if o.AgentImage == "" {
		return fmt.Errorf("there is no image of sandboxd")
	}
	if o.PidsLimit < minPidsLimit {
		return fmt.Errorf("a limit of %d processes is too low: sandboxd alone has threads for half of %d", o.PidsLimit, minPidsLimit)
	}
	for _, cidr := range o.ClusterCIDRs {
		if _, _, err := net.ParseCIDR(cidr); err != nil {
			return err
		}
	}
	return nil
}

func (o *Options) gateway() (host string, port int32, err error) {
	host, text, err := net.SplitHostPort(o.GatewayAddress)
	if err != nil {
		return "", 0, fmt.Errorf("the address of the gateway for sandboxes: %w", err)
	}
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil || number == 0 || host == "" {
		return "", 0, fmt.Errorf("the address of the gateway for sandboxes: %q is no host and port", o.GatewayAddress)
	}
	return host, int32(number), nil
}
