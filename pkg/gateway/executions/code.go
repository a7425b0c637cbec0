// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package executions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
)

// command is what is run. clean removes what it needed.
func (e *execution) command(connection *sandboxes.Sandbox, sandbox *v1.Sandbox, object *v1.Execution) (command sandboxes.Command, clean func(), err error) {
	spec := &object.Spec
	command = sandboxes.Command{ID: e.processID(), Argv: spec.Command, Dir: spec.WorkingDir}
	for _, v := range spec.Env {
		command.Env = append(command.Env, sandboxes.EnvVar{Name: v.Name, Value: v.Value})
	}
	if spec.Code == "" {
		return command, func() {}, nil
	}
	language, err := e.runner.language(e.ctx, sandbox, spec)
	if err != nil {
		return command, nil, err
	}
	by, ok := interpreterOf(language)
	if !ok {
		return command, nil, &endError{outcome{phase: v1.ExecutionFailed, reason: reasonNoInterpreter, message: unknownLanguage(language)}}
	}
	dir := path.Join(scratch(sandbox), "."+e.processID())
	file := path.Join(dir, by.file)
	clean = func() {
		e.runner.task(func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			_ = connection.Delete(ctx, dir, true) // it goes with the sandbox at last
		})
	}
	if err := e.put(connection, dir, file, spec.Code); err != nil {
		clean()
		return command, nil, err
	}
	command.Argv = append(slices.Clone(by.argv), file)
	command.Env = append(interpreterEnv(by, sandbox, spec), command.Env...)
	return command, clean, nil
}

// put writes code into the sandbox. A connection that breaks meanwhile is waited
// for, as that of a process is: to write it again changes nothing.
func (e *execution) put(connection *sandboxes.Sandbox, dir, file, code string) error {
	part := sandboxes.Part{Path: file, Upload: e.processID(), Mode: fs.FileMode(0o600), Commit: true, Total: uint64(len(code))}
	for {
		_, err := connection.MakeDir(e.ctx, dir, 0o700, true)
		if err == nil {
			_, _, err = connection.WritePart(e.ctx, part, strings.NewReader(code))
		}
		switch {
		case err == nil:
			return nil
		case e.ctx.Err() != nil:
			return context.Cause(e.ctx)
		case !sandboxes.Interrupted(err):
			return notWritten(err)
		}
		select {
		case <-e.runner.Clock.After(busyWait):
		case <-e.ctx.Done():
		}
	}
}

// notWritten is the end of an execution whose code could not be put into the
// sandbox, unless that cannot be reached.
func notWritten(err error) error {
	if errors.Is(err, sandboxes.ErrNotConnected) || errors.Is(err, sandboxes.ErrGone) {
		return err
	}
	return &endError{outcome{phase: v1.ExecutionFailed, reason: reasonNotWritten, message: fmt.Sprintf("the code could not be written into the sandbox: %v", err)}}
}

// scratch is where code is put.
func scratch(sandbox *v1.Sandbox) string {
	if f := sandbox.Spec.Filesystem; f != nil && len(f.WritablePaths) > 0 && !slices.Contains(f.WritablePaths, "/tmp") {
		return f.WritablePaths[0]
	}
	return "/tmp"
}

// interpreterEnv is what an interpreter is given unless somebody says otherwise.
func interpreterEnv(by interpreter, sandbox *v1.Sandbox, spec *v1.ExecutionSpec) []sandboxes.EnvVar {
	value := func(name string) (string, bool) {
		for _, list := range [][]v1.EnvVar{spec.Env, sandbox.Spec.Env} {
			for _, v := range list {
				if v.Name == name {
					return v.Value, true
				}
			}
		}
		return "", false
	}
	var env []sandboxes.EnvVar
	for _, v := range by.env {
		if _, set := value(v.Name); !set {
			env = append(env, v)
		}
	}
	if by.path != "" {
		if _, set := value(by.path); !set {
			dir := spec.WorkingDir
			if dir == "" {
				dir = "/workspace"
			}
			env = append(env, sandboxes.EnvVar{Name: by.path, Value: dir})
		}
	}
	return env
}

// language is that of an execution's code.
func (r *Runner) language(ctx context.Context, sandbox *v1.Sandbox, spec *v1.ExecutionSpec) (string, error) {
	if spec.Language != "" {
		return spec.Language, nil
	}
	if r.Language == nil {
		language, _, _ := strings.Cut(sandbox.Spec.Runtime, ":")
		return language, nil
	}
	return r.Language(ctx, sandbox)
}

func unknownLanguage(language string) string {
	return fmt.Sprintf("there is no interpreter for %q, there is %s; anything else can be run as a command", language, strings.Join(languageNames(), ", "))
}
