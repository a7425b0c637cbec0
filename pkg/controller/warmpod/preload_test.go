// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpod

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	"safebeam.dev/safebeam/pkg/sandboxd/sandboxdtest"
)

func TestMain(m *testing.M) { sandboxdtest.Main(); os.Exit(m.Run()) }

func shell(language string) ([]string, bool) { return []string{"sh", "-s"}, language == "sh" }

func TestPreloadStepsAreThePackagesAndThenTheScripts(t *testing.T) {
	t.Parallel()
	environment := &v1.RuntimeEnvironment{Spec: v1.RuntimeEnvironmentSpec{Language: "sh", PackageManager: "pip"}}
	list, err := steps(&v1.WarmPoolSpec{
		PreloadPackages: []string{"numpy", "pandas==2.2.3"},
		PreloadScripts:  []v1.PreloadScript{{Name: "b", Content: "1"}, {Name: "a", Content: "2"}},
	}, environment, nil, shell)
	if err != nil || len(list) != 3 {
		t.Fatalf("got %+v, %v", list, err)
	}
	packages := list[0].argv
	if at := slices.Index(packages, "--"); at < 0 || !slices.Equal(packages[at+1:], []string{"numpy", "pandas==2.2.3"}) {
		t.Errorf("packages are installed by %q", packages)
	}
	if list[1].name != "script-b" || list[1].stdin != "1" || list[2].name != "script-a" || list[2].stdin != "2" {
		t.Errorf("got %+v", list[1:])
	}
}

func TestWhatCannotBePreloadedIsSaid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		spec     v1.WarmPoolSpec
		manager  string
		language string
		says     string
	}{
		{v1.WarmPoolSpec{PreloadPackages: []string{"a"}}, "", "sh", "no packageManager"},
		{v1.WarmPoolSpec{PreloadPackages: []string{"a"}}, "conda", "sh", `"conda" is not known`},
		{v1.WarmPoolSpec{PreloadScripts: []v1.PreloadScript{{Name: "a", Content: "1"}}}, "pip", "cobol", `the language "cobol"`},
	} {
		environment := &v1.RuntimeEnvironment{Spec: v1.RuntimeEnvironmentSpec{Language: c.language, PackageManager: c.manager}}
		if _, err := steps(&c.spec, environment, nil, shell); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("got %v, want %q", err, c.says)
		}
	}
}

type anybody struct{}

func (anybody) Authenticate(_ context.Context, token string) (types.UID, error) {
	return types.UID(token), nil
}

// pod is a real sandboxd and its connection.
func pod(t *testing.T) (*sandboxes.Sandbox, string) {
	t.Helper()
	server, workspace := gateway(t)
	return server.Sandbox("pod"), workspace
}

// gateway is a server that the sandboxd of one pod, "pod", is connected to.
func gateway(t *testing.T) (*sandboxes.Server, string) {
	t.Helper()
	ca, serving := sandboxdtest.Certificates(t)
	server := sandboxes.NewServer(sandboxes.Options{TLS: &tls.Config{Certificates: []tls.Certificate{serving}}, Authenticator: anybody{}})
	dir, err := os.MkdirTemp("", "preload")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(ctx, listener) }()
	t.Cleanup(func() { cancel(); server.Close(); <-done; os.RemoveAll(dir) })
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("pod"), 0o600); err != nil {
		t.Fatal(err)
	}
	workspace := t.TempDir()
	sandboxdtest.Start(t, sandboxdtest.Config{Gateway: "unix:" + filepath.Join(dir, "s"), CA: ca, TokenFile: token, WritablePaths: []string{workspace}})
	if err := server.Sandbox("pod").Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	return server, workspace
}

func TestPreloadRunsEachStepOnceInOrderAndStopsAtTheFirstThatFails(t *testing.T) {
	t.Parallel()
	connection, workspace := pod(t)
	script := func(name, content string) step {
		return step{name: "script-" + name, argv: []string{"sh", "-s"}, stdin: content}
	}
	log := filepath.Join(workspace, "log")
	list := []step{script("a", "echo a >> "+log), script("b", "echo b >> "+log), script("c", "seq 100000 >&2; echo no model >&2; exit 3"), script("d", "echo d >> "+log)}
	err := preload(t.Context(), connection, list)
	if err == nil || !strings.HasPrefix(err.Error(), "preload of script c: exit code 3: ") || !strings.HasSuffix(err.Error(), "no model") || len(err.Error()) > outputTail+100 {
		t.Errorf("got %.200v", err)
	}
	if got, _ := os.ReadFile(log); string(got) != "a\nb\n" {
		t.Errorf("what ran: %q", got)
	}
	// Its scripts know nothing of a sandbox.
	health, err := connection.Health(t.Context())
	if err != nil || health.SandboxUid != "" {
		t.Errorf("%+v, %v", health, err)
	}
}

func TestAPreloadOfAPodThatGoesIsNoFailureOfTheStep(t *testing.T) {
	t.Parallel()
	connection, _ := pod(t)
	ctx, cancel := context.WithCancel(t.Context())
	started := step{name: "script-long", argv: []string{"sh", "-c", "sleep 60"}}
	done := make(chan error, 1)
	go func() { done <- preload(ctx, connection, []step{started}) }()
	cancel()
	if err := <-done; err != errAway {
		t.Errorf("got %v", err)
	}
}
