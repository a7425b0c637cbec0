// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"errors"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	"k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericfilters "k8s.io/apiserver/pkg/server/filters"
	"k8s.io/apiserver/pkg/server/healthz"
	openapicommon "k8s.io/kube-openapi/pkg/common"

	"safebeam.dev/safebeam/pkg/apiserver/collector"
	"safebeam.dev/safebeam/pkg/gateway/podidentity"
	"safebeam.dev/safebeam/pkg/gateway/turnmetrics"
	"safebeam.dev/safebeam/pkg/gateway/turns"
	"safebeam.dev/safebeam/pkg/generated/openapi"
	"safebeam.dev/safebeam/pkg/registry/stream"
	"safebeam.dev/safebeam/pkg/registry/tightbeam/model"
	"safebeam.dev/safebeam/pkg/storage"
)

const (
	// MaxRequestBodyBytes is how large a request may be. Beyond it the answer
	// is a 413 that names it.
	MaxRequestBodyBytes = 8 << 20
	// MaxStreamsPerConnection is the number of concurrent requests on one
	// HTTP/2 connection. kube-apiserver brings the watches and streams of all
	// its clients over one.
	MaxStreamsPerConnection = 10000
	// watchDrain is how long open watches may take to end on shutdown.
	watchDrain = 2 * time.Second
)

// ExtraConfig is what a server of ours needs beyond a generic one.
type ExtraConfig struct {
	// Store keeps everything. It is closed by whoever opened it.
	Store *storage.Factory
	// Launcher says what runs the jobs of models.
	Launcher model.Launcher
	// MaxStreams bounds the open streams of turns and logs; 0 is no bound.
	MaxStreams int
	// Broker has the settings of what runs turns; what it stands on is filled
	// in.
	Broker turns.Options
	// Pods are the controller's records of pods, where jobs are pods. Nil:
	// there are none, and the API to write them is not served.
	Pods *podidentity.Records
	// Sandboxes has the settings of sandboxes.
	Sandboxes SandboxConfig
	// MessageCacheBytes bounds the memory that holds message logs.
	MessageCacheBytes int64
}

// Config makes a server.
type Config struct {
	GenericConfig *genericapiserver.RecommendedConfig
	ExtraConfig   ExtraConfig
}

type completedConfig struct {
	GenericConfig genericapiserver.CompletedConfig
	ExtraConfig   *ExtraConfig
}

// CompletedConfig is a Config whose open fields have been filled in.
type CompletedConfig struct {
	*completedConfig
}

// NewGenericConfig returns the generic server's configuration with what is the
// same for every server of ours. Options apply to it.
func NewGenericConfig() *genericapiserver.RecommendedConfig {
	config := genericapiserver.NewRecommendedConfig(Codecs)
	config.EffectiveVersion = newEffectiveVersion()

	namer := openapinamer.NewDefinitionNamer(Scheme)
	definitions := openapicommon.GetOpenAPIDefinitions(openapi.GetOpenAPIDefinitions)
	config.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(definitions, namer)
	config.OpenAPIConfig.Info.Title = "Safebeam"
	config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(definitions, namer)
	config.OpenAPIV3Config.Info.Title = "Safebeam"

	config.MaxRequestBodyBytes = MaxRequestBodyBytes
	config.JSONPatchMaxCopyBytes = MaxRequestBodyBytes
	config.LongRunningFunc = isLongRunning
	config.ShutdownWatchTerminationGracePeriod = watchDrain
	// On shutdown new requests are told to come back, and the listener closes
	// when those in flight are done. The other way round, a connection that is
	// accepted while the listener closes would hold the end up for a minute:
	// nobody tells its HTTP/2 side to go.
	config.ShutdownSendRetryAfter = true
	// A flood is refused with 429. Long-running requests do not count.
	config.MaxRequestsInFlight = 2000
	config.MaxMutatingRequestsInFlight = 1000
	return config
}

var longRunningResource = genericfilters.BasicLongRunningRequestCheck(
	sets.NewString("watch", "proxy"),
	sets.NewString("log", "stream", "exec", "files", "attach", "proxy", "portforward"),
)

// isLongRunning tells the requests that take as long as they take, and are not
// counted among those in flight.
func isLongRunning(r *http.Request, info *request.RequestInfo) bool {
	return longRunningResource(r, info) || info != nil && !info.IsResourceRequest && info.Path == snapshotPath
}

// Complete fills in what can be derived. It changes the receiver.
func (c *Config) Complete() CompletedConfig {
	if c.ExtraConfig.MessageCacheBytes == 0 {
		c.ExtraConfig.MessageCacheBytes = 64 << 20
	}
	return CompletedConfig{&completedConfig{
		GenericConfig: c.GenericConfig.Complete(),
		ExtraConfig:   &c.ExtraConfig,
	}}
}

// Server is a server that has not been started.
type Server struct {
	GenericAPIServer *genericapiserver.GenericAPIServer
	// Storages are those of the served objects.
	Storages *Storages

	stopping chan struct{}
	beside   beside
}

// New makes a server.
func (c CompletedConfig) New() (*Server, error) {
	extra := c.ExtraConfig
	c.GenericConfig.RESTOptionsGetter = extra.Store
	c.GenericConfig.AddHealthChecks(extra.Store.HealthChecks()...)
	c.GenericConfig.AddHealthzChecks(extra.Store.ReadyzChecks()...)
	c.GenericConfig.AddReadyzChecks(extra.Store.ReadyzChecks()...)
	server, err := c.GenericConfig.New("safebeam-apiserver", genericapiserver.NewEmptyDelegate())
	if err != nil {
		return nil, err
	}
	s := &Server{GenericAPIServer: server, stopping: make(chan struct{})}
	// Functions of Destroy are called when the last request is done, in the
	// order of their registration: this one comes before the storages'.
	server.RegisterDestroyFunc(func() { _ = s.beside.stop() }) // Run returns the error
	if err := server.AddPreShutdownHook("streams-and-clients", func() error {
		close(s.stopping)
		s.beside.stopClients()
		return nil
	}); err != nil {
		return nil, err
	}

	streams := &stream.Server{Stopping: s.stopping, Max: extra.MaxStreams}
	watcher := &observer{}
	extra.Broker.Observer = watcher
	if s.Storages, err = newStorages(c.GenericConfig.Authorization.Authorizer, extra, streams); err != nil {
		return nil, err
	}
	// Nobody pays for the bytes that stay in this process.
	server.LoopbackClientConfig.DisableCompression = true
	broker := s.Storages.Broker
	watcher.metrics = turnmetrics.New(broker.EachModel)
	server.RegisterDestroyFunc(watcher.metrics.Expose())
	if watcher.loops, err = newLoops(server.LoopbackClientConfig, s.Storages, s.Storages.heads, extra.Store.Journal()); err != nil {
		return nil, err
	}
	server.RegisterDestroyFunc(s.Storages.Sandboxes.metrics.Expose())
	s.Add(Component{Name: "collector", Run: collector.AfterStart})
	s.Add(Component{Name: "bindings", Recover: s.Storages.Sandboxes.Bindings.Recover})
	s.Add(Component{Name: "sandboxes", Recover: s.Storages.Sandboxes.Live.Recover, Run: s.Storages.Sandboxes.Live.Run})
	s.Add(Component{Name: "executions", Recover: s.Storages.Sandboxes.Runner.Recover, Run: s.Storages.Sandboxes.Runner.Run})
	if err := s.Storages.Sandboxes.warm.add(s, s.Storages.Sandboxes, server.LoopbackClientConfig); err != nil {
		return nil, err
	}
	s.Add(Component{Name: "turns", Recover: broker.Recover, Run: broker.Run})
	s.Add(Component{Name: "loops", Run: watcher.loops.Run, Client: true})
	if err := server.AddReadyzChecks(healthz.NamedCheck("turns", func(*http.Request) error { return broker.Ready() })); err != nil {
		return nil, err
	}
	server.Handler.NonGoRestfulMux.Handle(snapshotPath, newSnapshots(extra.Store))
	for _, group := range []genericapiserver.APIGroupInfo{s.Storages.apiGroup(), s.Storages.Sandboxes.apiGroup()} {
		if err := server.InstallAPIGroup(&group); err != nil {
			return nil, err
		}
	}
	// Ready is who can answer: the watch caches are filled.
	if err := server.AddPostStartHook("storage-readiness", server.StorageReadinessHook.Hook); err != nil {
		return nil, err
	}
	return s, nil
}

// Add has a component run beside the server. It must be called before Run.
func (s *Server) Add(component Component) {
	s.beside.components = append(s.beside.components, component)
}

// Run serves until ctx ends, and returns when everything has stopped.
func (s *Server) Run(ctx context.Context) error {
	collector.Pace()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if err := s.beside.start(ctx, stop); err != nil {
		s.GenericAPIServer.Destroy()
		return errors.Join(err, s.beside.stop())
	}
	err := s.GenericAPIServer.PrepareRun().RunWithContext(ctx)
	return errors.Join(err, s.beside.stop())
}
