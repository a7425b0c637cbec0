// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxd

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"safebeam.dev/safebeam/pkg/sandboxd/files"
	"safebeam.dev/safebeam/pkg/sandboxd/guard"
	"safebeam.dev/safebeam/pkg/sandboxd/process"
	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// agent serves sandbox.v1.Agent.
type agent struct {
	sandboxpb.UnimplementedAgentServer
	release  string
	settings *settings
	manager  *process.Manager
	guard    *guard.Guard
	files    *files.Service
}

// Configure implements sandbox.v1.Agent. Everything is looked at before anything
// is changed.
func (a *agent) Configure(_ context.Context, r *sandboxpb.ConfigureRequest) (*sandboxpb.ConfigureResponse, error) {
	if r.SandboxUid == "" {
		return nil, status.Error(codes.InvalidArgument, "sandbox_uid is empty")
	}
	env, err := settingsOf(r.Env)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if r.WorkingDir != "" {
		if err := cleanDir(r.WorkingDir); err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "working_dir: %v", err)
		}
	}
	var roots *files.Roots
	if len(r.WritablePaths) > 0 {
		if roots, err = files.OpenRoots(r.WritablePaths); err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "writable_paths: %v", err)
		}
	}
	if err := a.settings.claim(r.SandboxUid); err != nil {
		if roots != nil {
			roots.Close()
		}
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	dir := r.WorkingDir
	if roots != nil {
		a.files.SetRoots(roots)
		if dir == "" {
			dir = r.WritablePaths[0]
		}
	}
	a.settings.set(env, dir)
	if l := r.Limits; l != nil {
		a.manager.SetMaxProcesses(int(l.MaxProcesses))
		a.guard.SetLimits(l.MemoryBytes, uint64(l.Pids))
	}
	return &sandboxpb.ConfigureResponse{}, nil
}

// Health implements sandbox.v1.Agent.
func (a *agent) Health(context.Context, *sandboxpb.HealthRequest) (*sandboxpb.HealthResponse, error) {
	usage := a.guard.Usage()
	return &sandboxpb.HealthResponse{
		Release:          a.release,
		SandboxUid:       a.settings.uid(),
		ProcessesRunning: uint32(a.manager.Running()),
		MemoryBytes:      usage.Memory, MemoryLimitBytes: usage.MemoryLimit,
		Pids: usage.Pids, PidsLimit: usage.PidsLimit,
		AgentRssBytes:   guard.SelfRSS(),
		LastGuardReason: usage.LastReason,
		GuardKills:      usage.Kills,
		GuestProcesses:  guard.Guests(a.manager.Running()),
	}, nil
}
