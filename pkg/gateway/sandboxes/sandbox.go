// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxes

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// A Sandbox is called through its pod's connection, whichever that is at the time.
// Once its pod is forgotten, all calls fail: they do not make it known again.
type Sandbox struct {
	server *Server
	pod    *pod  // nil: err says why
	err    error // of all calls
}

// Connected reports whether there is a live connection.
func (sb *Sandbox) Connected() bool {
	if sb.pod == nil {
		return false
	}
	l, _ := sb.pod.current()
	return l != nil
}

// Wait returns when the sandbox is connected.
func (sb *Sandbox) Wait(ctx context.Context) error {
	if sb.pod == nil {
		return sb.err
	}
	_, err := sb.pod.wait(ctx, 1<<62)
	return err
}

// call enters a call on the sandbox: it finds the connection and counts the call.
func (sb *Sandbox) call(ctx context.Context) (p *pod, l *link, leave func(), err error) {
	if p = sb.pod; p == nil {
		return nil, nil, nil, sb.err
	}
	select {
	case p.calls <- struct{}{}:
	default:
		return nil, nil, nil, fmt.Errorf("%w: %d on this sandbox", ErrBusy, maxCalls)
	}
	// Counted, so that Close waits for what the call may leave behind.
	if !sb.server.own() {
		<-p.calls
		return nil, nil, nil, ErrNotConnected
	}
	leave = func() { sb.server.owned.Done(); <-p.calls }
	l, err = p.wait(ctx, sb.server.options.ReconnectTimeout)
	if err != nil {
		leave()
		return nil, nil, nil, err
	}
	return p, l, leave, nil
}

// ErrBusy: too many calls are open on the sandbox.
var ErrBusy = fmt.Errorf("too many calls")

// unaryTimeout bounds a call that has one answer.
const unaryTimeout = 30 * time.Second

// Configuration is what is set per sandbox; see proto ConfigureRequest.
type Configuration struct {
	SandboxUID    types.UID
	Env           []EnvVar
	WorkingDir    string
	WritablePaths []string
	MaxProcesses  uint32
	MemoryBytes   uint64
	Pids          uint32
}

// EnvVar is an environment variable.
type EnvVar struct{ Name, Value string }

// Configure hands the sandbox what is its own. It may be called again for the same
// sandbox, and never for another one.
func (sb *Sandbox) Configure(ctx context.Context, c Configuration) error {
	_, l, leave, err := sb.call(ctx)
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, unaryTimeout)
	defer cancel()
	_, err = l.agent.Configure(ctx, &sandboxpb.ConfigureRequest{
		SandboxUid: string(c.SandboxUID), Env: envVars(c.Env), WorkingDir: c.WorkingDir, WritablePaths: c.WritablePaths,
		Limits: &sandboxpb.Limits{MaxProcesses: c.MaxProcesses, MemoryBytes: c.MemoryBytes, Pids: c.Pids},
	})
	return err
}

// Health is what sandboxd says of itself. All of it is hearsay.
func (sb *Sandbox) Health(ctx context.Context) (*sandboxpb.HealthResponse, error) {
	_, l, leave, err := sb.call(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, unaryTimeout)
	defer cancel()
	return l.agent.Health(ctx, &sandboxpb.HealthRequest{})
}

// Stop ends a process, attached or not. A grace of zero is the process's own, one
// below zero none.
func (sb *Sandbox) Stop(ctx context.Context, id string, grace time.Duration) error {
	_, l, leave, err := sb.call(ctx)
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, unaryTimeout)
	defer cancel()
	_, err = l.processes.Stop(ctx, &sandboxpb.StopRequest{Id: id, GraceNanos: int64(grace)})
	return err
}

// Processes lists the processes that sandboxd knows.
func (sb *Sandbox) Processes(ctx context.Context) ([]*sandboxpb.ProcessInfo, error) {
	_, l, leave, err := sb.call(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, unaryTimeout)
	defer cancel()
	response, err := l.processes.List(ctx, &sandboxpb.ListProcessesRequest{})
	if err != nil {
		return nil, err
	}
	return response.Processes, nil
}

func envVars(env []EnvVar) []*sandboxpb.EnvVar {
	list := make([]*sandboxpb.EnvVar, 0, len(env))
	for _, v := range env {
		list = append(list, &sandboxpb.EnvVar{Name: v.Name, Value: v.Value})
	}
	return list
}
