// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/types"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/bindings"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
)

var _ sandboxes.Observer = &Live{}

// configureRetry is how soon a sandboxd that is there and did not take its
// configuration is tried again. The controller gives it a minute in all.
const configureRetry = time.Second

// Connected implements sandboxes.Observer.
func (l *Live) Connected(podUID types.UID) {
	binding, ok := l.Bindings.ByPod(podUID)
	if !ok {
		return // dropped since it was let in
	}
	if binding.Owner.Kind != bindings.Sandbox {
		for _, f := range l.warm {
			f(binding, true)
		}
		return
	}
	l.mu.Lock()
	if s := l.sandboxes[binding.Owner.UID]; s != nil {
		s.pod, s.connected, s.reason = podUID, true, nil
		stop(s.away)
		s.away = nil
	}
	l.taskLocked(func(ctx context.Context) { l.welcome(ctx, binding) })
	l.mu.Unlock()
}

// Disconnected implements sandboxes.Observer.
func (l *Live) Disconnected(podUID types.UID, reason error) {
	binding, ok := l.Bindings.ByPod(podUID)
	if !ok {
		return
	}
	if binding.Owner.Kind != bindings.Sandbox {
		for _, f := range l.warm {
			f(binding, false)
		}
		return
	}
	l.mu.Lock()
	if s := l.sandboxes[binding.Owner.UID]; s != nil && s.pod == podUID {
		s.connected, s.reason = false, reason
		l.watchAway(s, l.DisconnectGrace)
	}
	l.mu.Unlock()
	l.notify(binding.Owner.UID)
}

// Refused implements sandboxes.Observer: somebody has the pod's token who is not
// its sandboxd, or sandboxd comes too late. A guest may try that without end, and is
// reported once a minute.
func (l *Live) Refused(podUID types.UID, reason error) {
	if errors.Is(reason, sandboxes.ErrGone) {
		return
	}
	binding, ok := l.Bindings.ByPod(podUID)
	if !ok {
		return
	}
	l.mu.Lock()
	if s := l.sandboxes[binding.Owner.UID]; s != nil {
		now := l.Clock.Now()
		if now.Sub(s.reported) < activityInterval {
			l.mu.Unlock()
			return
		}
		s.reported = now
	}
	l.mu.Unlock()
	l.logger.Info("Refused a connection that speaks for a sandbox's pod", "owner", binding.Owner, "pod", podUID, "reason", reason)
	if binding.Owner.Kind == bindings.Sandbox {
		l.task(func(ctx context.Context) { l.reportIntruder(ctx, binding.Owner.UID, reason) })
	}
}

// Misbehaved implements sandboxes.Observer.
func (l *Live) Misbehaved(podUID types.UID, reason error) {
	binding, ok := l.Bindings.ByPod(podUID)
	l.logger.Info("A sandboxd misbehaves", "pod", podUID, "reason", reason)
	if ok && binding.Owner.Kind == bindings.Sandbox {
		l.task(func(ctx context.Context) {
			l.end(ctx, binding.Owner.UID, v1.SandboxLost, reasonMisbehaved, reason.Error())
		})
	}
}

// Connection is the sandbox of a pod, connected or not; nil before there is a
// gateway. It is for warm pods: who has a sandbox acquires it.
func (l *Live) Connection(podUID types.UID) *sandboxes.Sandbox { return l.connection(podUID) }

// connection is the sandbox as it is called, connected or not.
func (l *Live) connection(podUID types.UID) *sandboxes.Sandbox {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.connections == nil || podUID == "" {
		return nil
	}
	return l.connections.Lookup(podUID)
}

// welcome makes a sandbox whose sandboxd is there Running, or Ready again.
func (l *Live) welcome(ctx context.Context, binding bindings.Binding) {
	uid := binding.Owner.UID
	for {
		object := l.Get(uid)
		connection := l.connection(binding.PodUID)
		if object == nil || connection == nil || over(object) || !connection.Connected() {
			return
		}
		// A claim configures its pod itself, before anybody else can see it.
		err := l.configure(ctx, object, connection)
		switch status.Code(err) {
		case codes.OK:
			l.running(ctx, uid)
			return
		case codes.InvalidArgument, codes.FailedPrecondition:
			l.end(ctx, uid, v1.SandboxFailed, reasonNotConfigured, "the sandbox's agent refuses its configuration: "+status.Convert(err).Message())
			return
		}
		if !connection.Connected() || ctx.Err() != nil {
			return // tried again with the next connection
		}
		l.logger.Error(err, "Configuring a sandbox failed, will try again", "sandbox", object.Namespace+"/"+object.Name)
		if l.sleep(ctx, configureRetry) != nil {
			return
		}
	}
}

// Configure tells the sandboxd of a pod what it is to be for sandbox, which need
// not be stored yet. The pod has to be bound to it.
func (l *Live) Configure(ctx context.Context, sandbox *v1.Sandbox, podUID types.UID) error {
	connection := l.connection(podUID)
	if connection == nil {
		return sandboxes.ErrNotConnected
	}
	return l.configure(ctx, sandbox, connection)
}

func (l *Live) configure(ctx context.Context, sandbox *v1.Sandbox, connection *sandboxes.Sandbox) error {
	return connection.Configure(ctx, configuration(sandbox))
}

const workspace = "/workspace"

// configuration is what sandboxd is told of a sandbox.
func configuration(sandbox *v1.Sandbox) sandboxes.Configuration {
	spec := &sandbox.Spec
	c := sandboxes.Configuration{SandboxUID: sandbox.UID}
	for _, v := range spec.Env {
		c.Env = append(c.Env, sandboxes.EnvVar{Name: v.Name, Value: v.Value})
	}
	if spec.Filesystem != nil {
		c.WritablePaths = spec.Filesystem.WritablePaths
	}
	if slices.Contains(c.WritablePaths, workspace) {
		c.WorkingDir = workspace
	}
	resources := spec.Resources
	if sandbox.Status.Resources != nil {
		resources = sandbox.Status.Resources // in force: a warm pod may have more
	}
	if resources != nil && resources.Memory != nil {
		c.MemoryBytes = uint64(max(resources.Memory.Value(), 0))
	}
	return c
}
