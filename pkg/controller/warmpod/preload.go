// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpod

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
)

const (
	// stepTimeout bounds one preload step.
	stepTimeout = 10 * time.Minute
	// outputTail is how much of a failed step's output is kept.
	outputTail = 2 << 10
	// maxPreloading bounds the pods that are preloaded at a time.
	maxPreloading = 32
)

// step is one thing that is run before a pod is Ready.
type step struct {
	name  string
	argv  []string
	stdin string
}

// steps are the preload of a pool.
func steps(spec *v1.WarmPoolSpec, environment *v1.RuntimeEnvironment, filesystem *v1.Filesystem, interpreter func(language string) ([]string, bool)) ([]step, error) {
	var list []step
	if len(spec.PreloadPackages) > 0 {
		argv, err := install(environment.Spec.PackageManager, filesystem)
		if err != nil {
			return nil, err
		}
		list = append(list, step{name: "packages", argv: append(argv, spec.PreloadPackages...)})
	}
	for _, script := range spec.PreloadScripts {
		argv, ok := interpreter(environment.Spec.Language)
		if !ok {
			return nil, fmt.Errorf("preloadScripts: nothing is known that runs the language %q", environment.Spec.Language)
		}
		list = append(list, step{name: "script-" + script.Name, argv: argv, stdin: script.Content})
	}
	return list, nil
}

// install is how a package manager installs what follows, into the home
// directory, which is the first writable path: the rest is read-only. Validation
// lets no package begin as an option does.
func install(manager string, filesystem *v1.Filesystem) ([]string, error) {
	switch manager {
	case "pip":
		return []string{"python3", "-m", "pip", "install", "--user", "--break-system-packages", "--no-input", "--no-cache-dir", "--disable-pip-version-check", "--no-warn-script-location", "--"}, nil
	case "npm":
		home := "/tmp"
		if filesystem != nil && len(filesystem.WritablePaths) > 0 {
			home = filesystem.WritablePaths[0]
		}
		return []string{"npm", "install", "--no-audit", "--no-fund", "--no-update-notifier", "--cache", "/tmp/.npm", "--prefix", home, "--"}, nil
	case "":
		return nil, errors.New("preloadPackages: the RuntimeEnvironment has no packageManager")
	}
	return nil, fmt.Errorf("preloadPackages: the packageManager %q is not known; there are pip and npm", manager)
}

// tail keeps the last bytes that are written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
}

func (t *tail) write(data []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, data...)
	if over := len(t.data) - outputTail; over > 0 {
		t.data = append(t.data[:0], t.data[over:]...)
	}
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(strings.ToValidUTF8(string(t.data), "�"))
}

// errAway: the connection went, and nothing is known of the step.
var errAway = errors.New("the pod is away")

// preload runs the steps in the pod. Every error but errAway is one of the step,
// and says what it wrote last.
func preload(ctx context.Context, connection *sandboxes.Sandbox, list []step) error {
	for _, s := range list {
		var output tail
		command := sandboxes.Command{
			ID: "preload-" + s.name, Argv: s.argv, Timeout: stepTimeout, EndLeftover: true,
			Output: sandboxes.OutputPolicy{Capped: true, Head: outputTail, Tail: outputTail},
		}
		streams := sandboxes.Streams{Output: func(chunk sandboxes.Chunk) error { output.write(chunk.Data); return nil }}
		if s.stdin != "" {
			streams.Stdin = io.NopCloser(strings.NewReader(s.stdin))
		}
		exit, err := connection.Run(ctx, command, streams)
		what := strings.Replace(s.name, "script-", "script ", 1)
		switch {
		case err != nil && (ctx.Err() != nil || errors.Is(err, sandboxes.ErrNotConnected) && !errors.Is(err, sandboxes.ErrLost)):
			return errAway
		case err != nil:
			return fmt.Errorf("preload of %s: %w", what, err)
		case exit.Code != 0:
			return fmt.Errorf("preload of %s: exit code %d: %s", what, exit.Code, describe(exit, output.String()))
		}
	}
	return nil
}

func describe(exit sandboxes.Exit, output string) string {
	if exit.Message != "" {
		output = strings.TrimSpace(exit.Message + "\n" + output)
	}
	if output == "" {
		return "it wrote nothing"
	}
	return output
}
