// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/spf13/pflag"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	genericoptions "k8s.io/apiserver/pkg/server/options"

	"safebeam.dev/safebeam/pkg/controller"
	"safebeam.dev/safebeam/pkg/launcher/kubernetes"
	"safebeam.dev/safebeam/pkg/launcher/kubernetessandbox"
)

// Options are the flags of the controller.
type Options struct {
	// Kubeconfig reaches the cluster; empty: the one that runs this pod.
	Kubeconfig string
	Serving    *genericoptions.SecureServingOptionsWithLoopback
	// Authentication and Authorization say who may read the metrics.
	Authentication *genericoptions.DelegatingAuthenticationOptions
	Authorization  *genericoptions.DelegatingAuthorizationOptions

	LeaderElectNamespace string
	LeaderElectName      string

	GatewayAddress   string
	GatewayNamespace string
	GatewayLabels    map[string]string
	APIService       string
	ClusterCIDRs     []string

	LLMJobImage      string
	AllowedJobImages []string
	JobImageMap      map[string]string

	SandboxGatewayAddress string
	SandboxdImage         string
	SandboxRuntimeClass   string
	SandboxStorageClass   string
	SandboxUserNamespaces bool
	SandboxPidsLimit      int64
	ClusterDomain         string

	TurnTTL time.Duration
}

// NewOptions returns the defaults.
func NewOptions() *Options {
	o := &Options{
		Serving:              genericoptions.NewSecureServingOptions().WithLoopback(),
		Authentication:       genericoptions.NewDelegatingAuthenticationOptions(),
		Authorization:        genericoptions.NewDelegatingAuthorizationOptions(),
		LeaderElectNamespace: "safebeam-system",
		LeaderElectName:      "safebeam-controller",
		GatewayNamespace:     "safebeam-system",
		GatewayLabels:        map[string]string{"app.kubernetes.io/name": "safebeam-apiserver"},
		APIService:           "v1.tightbeam.dev",
		SandboxRuntimeClass:  kubernetessandbox.DefaultRuntimeClass,
		SandboxPidsLimit:     kubernetessandbox.DefaultPidsLimit,
		ClusterDomain:        "cluster.local",
		TurnTTL:              controller.DefaultTurnTTL,
	}
	o.Serving.BindPort = 8443
	// Nobody verifies who gives them metrics, and the key is made anew at
	// every start, in memory.
	o.Serving.ServerCert.CertDirectory = ""
	o.Serving.ServerCert.PairName = "safebeam-controller"
	// It is never behind a front proxy.
	o.Authentication.SkipInClusterLookup = true
	return o
}

// AddFlags adds the flags to fs.
func (o *Options) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.Kubeconfig, "kubeconfig", o.Kubeconfig, "The kubeconfig of the cluster. Default: the cluster that runs this pod.")
	fs.StringVar(&o.LeaderElectNamespace, "leader-elect-namespace", o.LeaderElectNamespace, "The namespace of the Lease.")
	fs.StringVar(&o.LeaderElectName, "leader-elect-name", o.LeaderElectName, "The name of the Lease.")
	fs.StringVar(&o.GatewayAddress, "gateway-address", o.GatewayAddress, "host:port that jobs reach the gateway by. The port is also that of its pods.")
	fs.StringVar(&o.GatewayNamespace, "gateway-namespace", o.GatewayNamespace, "The namespace of the gateway's pods, for the NetworkPolicies of jobs.")
	fs.StringToStringVar(&o.GatewayLabels, "gateway-labels", o.GatewayLabels, "The labels of the gateway's pods, for the NetworkPolicies of jobs.")
	fs.StringVar(&o.APIService, "api-service", o.APIService, "The APIService whose caBundle verifies the gateway.")
	fs.StringSliceVar(&o.ClusterCIDRs, "cluster-cidrs", o.ClusterCIDRs, "Ranges of this cluster besides the private ones, which jobs may not reach unless their model says so.")
	fs.StringVar(&o.LLMJobImage, "llm-job-image", o.LLMJobImage, "The image of LLM jobs whose model names none.")
	fs.StringSliceVar(&o.AllowedJobImages, "allowed-job-images", o.AllowedJobImages, "Patterns of the images that jobs may run; * stands for anything but a slash. Default: --llm-job-image alone.")
	fs.StringToStringVar(&o.JobImageMap, "job-image-map", o.JobImageMap, "Images to run in the place of others, FROM=TO. Default: the image of Tightbeam's own manifests becomes --llm-job-image.")
	fs.StringVar(&o.SandboxGatewayAddress, "sandbox-gateway-address", o.SandboxGatewayAddress, "host:port that sandboxes reach their gateway by. The port is also that of its pods. Pods are told the address of the host, which has to stay: a Service's.")
	fs.StringVar(&o.SandboxdImage, "sandboxd-image", o.SandboxdImage, "The image that has sandboxd. Empty: this controller runs no sandboxes.")
	fs.StringVar(&o.SandboxRuntimeClass, "sandbox-runtime-class", o.SandboxRuntimeClass, "The RuntimeClass of sandboxes of the security level high. While the cluster does not have it, they stay Pending.")
	fs.StringVar(&o.SandboxStorageClass, "sandbox-storage-class", o.SandboxStorageClass, "The StorageClass of persistent sandboxes. Default: the cluster's.")
	fs.BoolVar(&o.SandboxUserNamespaces, "sandbox-user-namespaces", o.SandboxUserNamespaces, "Give every sandbox a user namespace of its own (hostUsers: false). Needs nodes that can; the kernel then holds the number of its processes.")
	fs.Int64Var(&o.SandboxPidsLimit, "sandbox-pids-limit", o.SandboxPidsLimit, "The number of processes and threads of a sandbox near which its agent ends what runs in it.")
	fs.StringVar(&o.ClusterDomain, "cluster-domain", o.ClusterDomain, "The DNS name of the cluster, for status.endpoint of sandboxes.")
	fs.DurationVar(&o.TurnTTL, "turn-ttl", o.TurnTTL, "How long finished turns stay that do not say so themselves. The log of their conversation stays. 0 keeps them.")
	fs.IPVar(&o.Serving.BindAddress, "bind-address", o.Serving.BindAddress, "The address to serve health and metrics on.")
	fs.IntVar(&o.Serving.BindPort, "secure-port", o.Serving.BindPort, "The port to serve health and metrics on.")
}

// Complete fills in what can be derived.
func (o *Options) Complete() {
	if len(o.AllowedJobImages) == 0 && o.LLMJobImage != "" {
		o.AllowedJobImages = []string{o.LLMJobImage}
	}
	if o.JobImageMap == nil {
		o.JobImageMap = map[string]string{kubernetes.SeedImage: o.LLMJobImage}
	}
	if o.Kubeconfig != "" {
		o.Authentication.RemoteKubeConfigFile = o.Kubeconfig
		o.Authorization.RemoteKubeConfigFile = o.Kubeconfig
	}
}

// Validate reports every setting that cannot be honoured.
func (o *Options) Validate() error {
	errs := o.Serving.Validate()
	errs = append(errs, o.Authentication.Validate()...)
	errs = append(errs, o.Authorization.Validate()...)
	if _, err := o.gatewayPort(); err != nil {
		errs = append(errs, err)
	}
	if err := o.images().Validate(); err != nil {
		errs = append(errs, fmt.Errorf("--llm-job-image, --allowed-job-images: %w", err))
	}
	if o.SandboxdImage != "" {
		sandboxes := o.sandboxes()
		if err := sandboxes.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("--sandboxd-image, --sandbox-gateway-address, --sandbox-pids-limit: %w", err))
		}
	}
	for _, cidr := range o.ClusterCIDRs {
		if _, _, err := net.ParseCIDR(cidr); err != nil {
			errs = append(errs, fmt.Errorf("--cluster-cidrs: %w", err))
		}
	}
	if o.TurnTTL < 0 {
		errs = append(errs, fmt.Errorf("--turn-ttl=%v must not be negative", o.TurnTTL))
	}
	return utilerrors.NewAggregate(errs)
}

func (o *Options) images() kubernetes.Images {
	return kubernetes.Images{Default: o.LLMJobImage, Allowed: o.AllowedJobImages, Map: o.JobImageMap}
}

func (o *Options) sandboxes() kubernetessandbox.Options {
	return kubernetessandbox.Options{
		GatewayAddress: o.SandboxGatewayAddress, GatewayNamespace: o.GatewayNamespace, GatewayLabels: o.GatewayLabels,
		ClusterCIDRs: o.ClusterCIDRs, ClusterDomain: o.ClusterDomain,
		AgentImage: o.SandboxdImage, RuntimeClass: o.SandboxRuntimeClass, StorageClass: o.SandboxStorageClass,
		UserNamespaces: o.SandboxUserNamespaces, PidsLimit: o.SandboxPidsLimit,
		OpenCommand: "kubectl create rolebinding safebeam-sandboxes --namespace %s --clusterrole safebeam-sandboxes --serviceaccount " +
			o.LeaderElectNamespace + ":safebeam-controller",
	}
}

func (o *Options) gatewayPort() (int32, error) {
	_, text, err := net.SplitHostPort(o.GatewayAddress)
	if err != nil {
		return 0, fmt.Errorf("--gateway-address: %w", err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("--gateway-address: %q is no port", text)
	}
	return int32(port), nil
}
