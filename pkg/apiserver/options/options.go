// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package options are the flags of the API server and how they become its
// configuration, for the two ways it is run: behind a kube-apiserver, which it
// asks who a request is from and what they may do, and standalone, where it
// knows that itself.
package options

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/features"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/utils/clock"

	"safebeam.dev/safebeam/pkg/apiserver"
	"safebeam.dev/safebeam/pkg/apiserver/certificates"
	"safebeam.dev/safebeam/pkg/gateway/turns"
	"safebeam.dev/safebeam/pkg/registry/tightbeam/model"
	"safebeam.dev/safebeam/pkg/storage"
)

// Options are the flags of a server.
type Options struct {
	// Recommended are the flags of every aggregated API server, but for those
	// of the store.
	Recommended *genericoptions.RecommendedOptions
	// Storage are the flags of the store.
	Storage *storage.Options
	// Limits refuse a flood.
	Limits Limits
	// Sandboxes bound what a sandbox may ask for.
	Sandboxes *SandboxOptions
	// JobGrace is how long the job of a running turn may stay away before the
	// turn goes on without it.
	JobGrace time.Duration
	// Names are further host names and addresses that clients reach the
	// server by.
	Names []string
	// Certificates are how long the server's own certificates are valid.
	Certificates certificates.Lifetimes
	// Standalone says who may do what. Nil: a kube-apiserver is asked.
	Standalone *StandaloneOptions
	// ShutdownDelay is how long readiness is off before the server takes no
	// more requests.
	ShutdownDelay time.Duration
}

// Limits bound what a server takes on.
type Limits struct {
	MaxRequestsInFlight         int
	MaxMutatingRequestsInFlight int
	MaxStreams                  int
}

// withoutSnapshots keeps watch caches from holding a tree of their objects for
// every event of their history: lists at an exact revision, and further pages,
// are the store's to answer, which is in the process or close. It must come
// before the flag that sets feature gates, and can be undone by it.
var withoutSnapshots = sync.OnceFunc(func() {
	utilruntime.Must(utilfeature.DefaultMutableFeatureGate.OverrideDefault(features.ListFromCacheSnapshot, false))
})

// NewOptions returns the defaults of a server behind a kube-apiserver.
func NewOptions() *Options {
	withoutSnapshots()
	recommended := genericoptions.NewRecommendedOptions("", nil)
	recommended.Etcd = nil // ours are storage.Options
	recommended.SecureServing.BindPort = 8443
	recommended.SecureServing.HTTP2MaxStreamsPerConnection = apiserver.MaxStreamsPerConnection
	return &Options{
		Recommended: recommended,
		Storage:     storage.NewOptions(),
		Limits:      Limits{MaxRequestsInFlight: 2000, MaxMutatingRequestsInFlight: 1000, MaxStreams: 10000},
		Sandboxes:   NewSandboxOptions(),
		JobGrace:    30 * time.Second,

		Certificates: certificates.DefaultLifetimes(),
	}
}

// NewStandaloneOptions returns the defaults of a server that stands alone, on
// loopback.
func NewStandaloneOptions() *Options {
	o := NewOptions()
	o.Standalone = &StandaloneOptions{}
	r := o.Recommended
	r.SecureServing.BindAddress = net.IPv4(127, 0, 0, 1)
	r.SecureServing.BindPort = 7443
	// All of these ask a kube-apiserver.
	r.Authentication, r.Authorization, r.CoreAPI, r.Admission, r.EgressSelector = nil, nil, nil, nil, nil
	r.Features.EnablePriorityAndFairness = false
	return o
}

// withheldFlags would be accepted and have no effect.
var withheldFlags = map[string]bool{
	// The server's certificates are signed by its own authority, which is in
	// the store.
	"cert-dir": true,
}

// withheldStandaloneFlags need a kube-apiserver.
var withheldStandaloneFlags = map[string]bool{
	"enable-priority-and-fairness": true,
}

// AddFlags adds the flags to fs.
func (o *Options) AddFlags(fs *pflag.FlagSet) {
	recommended := pflag.NewFlagSet("recommended", pflag.ContinueOnError)
	o.Recommended.AddFlags(recommended)
	recommended.VisitAll(func(f *pflag.Flag) {
		if withheldFlags[f.Name] || o.Standalone != nil && withheldStandaloneFlags[f.Name] {
			return
		}
		fs.AddFlag(f)
	})
	if f := fs.Lookup("tls-cert-file"); f != nil {
		f.Usage = "File with the x509 certificate to serve with, and its chain. If not given, the server signs its own."
	}
	o.Storage.AddFlags(fs)
	fs.IntVar(&o.Limits.MaxRequestsInFlight, "max-requests-inflight", o.Limits.MaxRequestsInFlight,
		"The number of reading requests at a time, beyond which they are refused with 429. Watches and streams do not count. With priority and fairness, the sum of both limits is shared out.")
	fs.IntVar(&o.Limits.MaxMutatingRequestsInFlight, "max-mutating-requests-inflight", o.Limits.MaxMutatingRequestsInFlight,
		"The number of writing requests at a time, beyond which they are refused with 429.")
	fs.IntVar(&o.Limits.MaxStreams, "max-streams", o.Limits.MaxStreams,
		"The number of open streams of turns and logs, beyond which they are refused with 429. 0 is no limit.")
	o.Sandboxes.addFlags(fs)
	fs.DurationVar(&o.JobGrace, "job-grace", o.JobGrace,
		"How long the job of a running turn may stay away, its connection lost, before the turn is given to another job, or, if something of its answer was seen, fails.")
	fs.StringSliceVar(&o.Names, "serving-names", o.Names,
		"Further host names and addresses that clients reach this server by, for its certificate.")
	fs.DurationVar(&o.Certificates.Serving, "serving-certificate-lifetime", o.Certificates.Serving,
		"How long the certificates that the server signs for itself are valid. They are replaced, without a restart, when two thirds of it are over.")
	fs.DurationVar(&o.Certificates.Authority, "authority-lifetime", o.Certificates.Authority,
		"How long the authority that signs them is valid. When four fifths of it are over, a successor is published, which signs another tenth later. Sandboxes and warm pods keep the authorities that were published when their pod was made: one that is older than a tenth of it may be unable to connect again.")
	fs.DurationVar(&o.ShutdownDelay, "shutdown-delay-duration", o.ShutdownDelay,
		"How long the server goes on serving, not ready, after it was told to end.")
	if o.Standalone != nil {
		o.Standalone.addFlags(fs)
	}
}

// Validate reports every setting that cannot be honoured.
func (o *Options) Validate() error {
	errs := o.Recommended.Validate()
	errs = append(errs, o.Storage.Validate()...)
	if o.Limits.MaxRequestsInFlight <= 0 || o.Limits.MaxMutatingRequestsInFlight <= 0 {
		errs = append(errs, fmt.Errorf("--max-requests-inflight and --max-mutating-requests-inflight must be above 0"))
	}
	if o.Limits.MaxStreams < 0 {
		errs = append(errs, fmt.Errorf("--max-streams=%d must not be negative", o.Limits.MaxStreams))
	}
	errs = append(errs, o.Sandboxes.validate()...)
	if err := o.Certificates.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("--authority-lifetime, --serving-certificate-lifetime: %w", err))
	}
	if o.JobGrace <= 0 {
		errs = append(errs, fmt.Errorf("--job-grace=%v must be above 0", o.JobGrace))
	}
	if o.ShutdownDelay < 0 {
		errs = append(errs, fmt.Errorf("--shutdown-delay-duration=%v must not be negative", o.ShutdownDelay))
	}
	if o.Standalone != nil {
		errs = append(errs, o.Standalone.validate()...)
	}
	return utilerrors.NewAggregate(errs)
}

// Complete fills in what can be derived.
func (o *Options) Complete() error {
	if bind := o.Recommended.SecureServing.BindAddress; bind != nil && !bind.IsUnspecified() {
		o.Names = append(o.Names, bind.String())
		if bind.IsLoopback() {
			o.Names = append(o.Names, "localhost", "127.0.0.1", "::1")
		}
		return nil
	}
	address, err := o.Recommended.SecureServing.DefaultExternalAddress()
	if err != nil {
		return fmt.Errorf("the address to be reached by is not known, give one by --bind-address: %w", err)
	}
	o.Names = append(o.Names, "localhost", "127.0.0.1", "::1", address.String())
	return nil
}

// Opened is what a server's configuration stands on. Close it after the server
// has ended.
type Opened struct {
	*apiserver.Config
	// Authority signs the certificates of the server and of what else serves
	// beside it.
	Authority *certificates.Authority
	// Records keep the server's own credentials.
	Records certificates.Records
	// Tokens tells, standalone, who the bearer of a token is.
	Tokens authenticator.Token
}

// Close closes the store.
func (o *Opened) Close() error { return o.ExtraConfig.Store.Close() }

// Config opens the store and returns the configuration of a server on it. ctx
// bounds the opening alone.
func (o *Options) Config(ctx context.Context) (_ *Opened, err error) {
	generic := apiserver.NewGenericConfig()
	generic.MaxRequestsInFlight = o.Limits.MaxRequestsInFlight
	generic.MaxMutatingRequestsInFlight = o.Limits.MaxMutatingRequestsInFlight
	generic.ShutdownDelayDuration = o.ShutdownDelay

	store, err := storage.Open(ctx, *o.Storage, storage.Config{
		Scheme:       apiserver.Scheme,
		Versions:     apiserver.StoredVersions,
		APIServerID:  generic.APIServerID,
		ObjectCounts: generic.StorageObjectCountTracker,
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = store.Close() // the first error is the one to tell
		}
	}()
	opened := &Opened{Config: &apiserver.Config{
		GenericConfig: generic,
		ExtraConfig: apiserver.ExtraConfig{Store: store, MaxStreams: o.Limits.MaxStreams, Launcher: model.LauncherKubernetes, Broker: turns.Options{JobGrace: o.JobGrace},
			Sandboxes: apiserver.SandboxConfig{Limits: o.Sandboxes.limits()}},
	}}
	if opened.Records.Storage, _, err = store.Raw(storage.RawConfig{
		Resource: certificates.Resource, Prefix: certificates.ResourcePrefix, Codec: certificates.Codec(),
		NewFunc:     func() runtime.Object { return &certificates.Record{} },
		NewListFunc: func() runtime.Object { return &certificates.RecordList{} },
	}); err != nil {
		return nil, err
	}
	if opened.Authority, err = certificates.NewAuthority(ctx, opened.Records, "serving-ca", o.Certificates, clock.RealClock{}); err != nil {
		return nil, err
	}
	if err = o.apply(opened); err != nil {
		return nil, err
	}
	return opened, nil
}

func (o *Options) apply(opened *Opened) error {
	serving := o.Recommended.SecureServing
	if serving.ServerCert.CertKey.CertFile == "" && serving.ServerCert.CertKey.KeyFile == "" {
		cert, err := opened.Authority.Issue("safebeam-apiserver", o.Names...)
		if err != nil {
			return err
		}
		serving.ServerCert.GeneratedCert = cert
	}
	if err := o.Recommended.ApplyTo(opened.GenericConfig); err != nil {
		return err
	}
	if o.Standalone != nil {
		return o.Standalone.applyTo(opened)
	}
	return nil
}
