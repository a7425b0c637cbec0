// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	apistorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/utils/clock"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/apis/llmsafespace/validation"
	"safebeam.dev/safebeam/pkg/gateway/bindings"
	"safebeam.dev/safebeam/pkg/gateway/executions"
	"safebeam.dev/safebeam/pkg/gateway/live"
	"safebeam.dev/safebeam/pkg/gateway/sandboxmetrics"
	"safebeam.dev/safebeam/pkg/registry/generic"
	"safebeam.dev/safebeam/pkg/registry/llmsafespace/execution"
	"safebeam.dev/safebeam/pkg/registry/llmsafespace/profile"
	"safebeam.dev/safebeam/pkg/registry/llmsafespace/runtimeenvironment"
	"safebeam.dev/safebeam/pkg/registry/llmsafespace/sandbox"
	"safebeam.dev/safebeam/pkg/registry/llmsafespace/sandboxpod"
	"safebeam.dev/safebeam/pkg/registry/llmsafespace/warmpod"
	"safebeam.dev/safebeam/pkg/registry/llmsafespace/warmpool"
	"safebeam.dev/safebeam/pkg/registry/stream"
	"safebeam.dev/safebeam/pkg/storage"
)

// SandboxConfig is what a server needs to serve sandboxes.
type SandboxConfig struct {
	// Limits are the largest resources of one sandbox.
	Limits validation.Limits
	// Shortfalls are what the launcher cannot honour of a sandbox. Nil: nothing.
	Shortfalls func(*llmsafespacev1.SandboxSpec) []string
}

// SandboxStorages are the REST storages of llmsafespace.dev and what is behind
// them.
type SandboxStorages struct {
	RuntimeEnvironments *runtimeenvironment.REST
	Profiles            *profile.REST
	Sandboxes           *sandbox.Storages
	Executions          *execution.Storages
	WarmPools           *warmpool.REST
	WarmPods            *warmpod.REST
	// Bindings say which pod is whose.
	Bindings *bindings.Store
	// Live has the sandboxes that are connected.
	Live *live.Live
	// Runner runs executions.
	Runner *executions.Runner

	metrics           *sandboxmetrics.Metrics
	warm              *warm
	environmentStatus *generic.StatusREST
	poolStatus        *generic.StatusREST
	warmPodStatus     *generic.StatusREST
}

func newSandboxStorages(authorizer authorizer.Authorizer, extra *ExtraConfig, streams *stream.Server) (*SandboxStorages, error) {
	store, config := extra.Store, extra.Sandboxes
	s := &SandboxStorages{}
	var err error
	if s.Bindings, err = openBindings(store); err != nil {
		return nil, err
	}
	if s.RuntimeEnvironments, s.environmentStatus, err = runtimeenvironment.NewREST(runtimeenvironment.Config{Scheme: Scheme}, store); err != nil {
		return nil, err
	}
	if s.Profiles, err = profile.NewREST(profile.Config{Scheme: Scheme, Limits: config.Limits}, store); err != nil {
		return nil, err
	}
	if s.WarmPools, s.poolStatus, err = warmpool.NewREST(warmpool.Config{
		Scheme: Scheme, Limits: config.Limits, Profiles: s.Profiles, Authorizer: authorizer,
	}, store); err != nil {
		return nil, err
	}
	if s.WarmPods, s.warmPodStatus, err = warmpod.NewREST(warmpod.Config{Scheme: Scheme}, store); err != nil {
		return nil, err
	}
	s.metrics = sandboxmetrics.New(sandboxmetrics.Gauges{
		Sandboxes:  func() live.Counts { return s.Live.Counts() },
		Executions: func() executions.Counts { return s.Runner.Counts() },
	})
	s.Live = live.New(live.Options{Bindings: s.Bindings, Observer: s.metrics})
	s.warm = newWarm(s)
	if s.Sandboxes, err = sandbox.NewStorages(sandbox.Config{
		Scheme: Scheme, Authorizer: authorizer, Limits: config.Limits, Shortfalls: config.Shortfalls, WrapStorage: s.wrap,
		Environments: s.RuntimeEnvironments, Profiles: s.Profiles, Acquirer: s.Live, Streams: streams, Meter: s.metrics,
	}, store); err != nil {
		return nil, err
	}
	language := languageOf(s.RuntimeEnvironments)
	s.Runner = executions.New(executions.Options{
		Live: s.Live, Journal: store.Journal(), Language: language, MaxObjectBytes: store.MaxObjectBytes(), Observer: s.metrics,
	})
	s.Executions, err = execution.NewStorages(execution.Config{
		Scheme: Scheme, Sandboxes: s.Sandboxes.Sandbox, Language: language, Languages: knownLanguage, WrapStorage: s.Runner.Wrap,
		Events: s.Runner, Canceller: runner{s.Runner}, Streams: streams,
	}, store)
	return s, err
}

func knownLanguage(language string) (bool, []string) {
	_, known := executions.FromStdin(language)
	return known, executions.Languages()
}

// wrap puts the claim of warm pods around the storage of sandboxes, and within
// it what sees every write: a sandbox that is bound is known when it is stored.
func (s *SandboxStorages) wrap(inner apistorage.Interface, prefix string) apistorage.Interface {
	return s.warm.claimer.Wrap(s.Live.Wrap(inner, prefix), prefix)
}

func openBindings(store *storage.Factory) (*bindings.Store, error) {
	raw, _, err := store.Raw(storage.RawConfig{
		Resource: bindings.Resource, Prefix: bindings.ResourcePrefix, Codec: bindings.Codec(),
		NewFunc:     func() runtime.Object { return &bindings.Record{} },
		NewListFunc: func() runtime.Object { return &bindings.RecordList{} },
	})
	if err != nil {
		return nil, err
	}
	return bindings.NewStore(raw, clock.RealClock{}), nil
}

// apiGroup is what the server serves as llmsafespace.dev.
func (s *SandboxStorages) apiGroup() genericapiserver.APIGroupInfo {
	group := genericapiserver.NewDefaultAPIGroupInfo(llmsafespacev1.GroupName, Scheme, ParameterCodec, Codecs)
	group.NegotiatedSerializer = withoutProtobuf{Codecs}
	group.VersionedResourcesStorageMap[llmsafespacev1.SchemeGroupVersion.Version] = map[string]rest.Storage{
		"runtimeenvironments":                 s.RuntimeEnvironments,
		"runtimeenvironments/status":          s.environmentStatus,
		"sandboxprofiles":                     s.Profiles,
		"sandboxes":                           s.Sandboxes.Sandbox,
		"sandboxes/status":                    s.Sandboxes.Status,
		"sandboxes/exec":                      s.Sandboxes.Exec,
		"sandboxes/files":                     s.Sandboxes.Files,
		"sandboxes/" + sandboxpod.Subresource: sandboxpod.NewSandboxREST(s.Sandboxes.Sandbox, s.Bindings),
		"executions":                          s.Executions.Execution,
		"executions/status":                   s.Executions.Status,
		"executions/log":                      s.Executions.Log,
		"executions/cancel":                   s.Executions.Cancel,
		"warmpools":                           s.WarmPools,
		"warmpools/status":                    s.poolStatus,
		"warmpools/scale":                     warmpool.NewScaleREST(s.WarmPools),
		"warmpods":                            s.WarmPods,
		"warmpods/status":                     s.warmPodStatus,
		"warmpods/" + sandboxpod.Subresource:  sandboxpod.NewWarmPodREST(s.WarmPods, s.Bindings),
	}
	return group
}
