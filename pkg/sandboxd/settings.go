// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxd

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// settings are what Configure may change while sandboxd runs.
type settings struct {
	mu         sync.Mutex
	sandboxUID string
	base       []string // what every process gets, lowest first
	env        []string
	dir        string
}

// errOtherSandbox: one sandbox, one pod, for life.
var errOtherSandbox = errors.New("this pod belongs to another sandbox")

// claim binds sandboxd to a sandbox, for ever.
func (s *settings) claim(uid string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sandboxUID != "" && s.sandboxUID != uid {
		return errOtherSandbox
	}
	s.sandboxUID = uid
	return nil
}

func (s *settings) set(env []string, dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.env = env
	if dir != "" {
		s.dir = dir
	}
}

func (s *settings) uid() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sandboxUID
}

func (s *settings) workingDir() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dir
}

// environment is what a process sees: the sandbox's over the base, its own over
// both, each name once.
func (s *settings) environment(own []*sandboxpb.EnvVar) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	merged := make([]string, 0, len(s.base)+len(s.env)+len(own))
	at := map[string]int{}
	add := func(name, setting string) {
		if i, ok := at[name]; ok {
			merged[i] = setting
			return
		}
		at[name] = len(merged)
		merged = append(merged, setting)
	}
	for _, list := range [][]string{s.base, s.env} {
		for _, setting := range list {
			name, _, _ := strings.Cut(setting, "=")
			add(name, setting)
		}
	}
	for _, v := range own {
		add(v.Name, v.Name+"="+v.Value)
	}
	return merged
}

// settingsOf turns variables into settings and refuses names that no process
// could read back.
func settingsOf(env []*sandboxpb.EnvVar) ([]string, error) {
	list := make([]string, 0, len(env))
	for _, v := range env {
		if v.Name == "" || strings.ContainsAny(v.Name, "=\x00") || strings.IndexByte(v.Value, 0) >= 0 {
			return nil, fmt.Errorf("environment variable %q: a name is not empty and has no '='; neither has a NUL byte", v.Name)
		}
		list = append(list, v.Name+"="+v.Value)
	}
	return list, nil
}

func cleanDir(path string) error {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path {
		return fmt.Errorf("%q is no clean absolute path", path)
	}
	return nil
}
