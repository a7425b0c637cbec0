// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package servertest

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/apiserver"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	"safebeam.dev/safebeam/pkg/gateway/sandboxidentity"
	"safebeam.dev/safebeam/pkg/registry/llmsafespace/sandboxpod"
	"safebeam.dev/safebeam/pkg/sandboxd/sandboxdtest"
)

// sandboxGateway takes the connections of sandboxds that run beside a test, in
// place of pods. The test's TestMain calls sandboxdtest.Main.
type sandboxGateway struct {
	tokens  *sandboxidentity.Tokens
	address string
	ca      []byte
}

func newSandboxGateway(t testing.TB, server *apiserver.Server) *sandboxGateway {
	t.Helper()
	storages := server.Storages.Sandboxes
	ca, serving := sandboxdtest.Certificates(t)
	tokens := sandboxidentity.NewTokens(storages.Bindings, storages.Live.Over)
	gateway := sandboxes.NewServer(sandboxes.Options{
		TLS: &tls.Config{Certificates: []tls.Certificate{serving}}, Authenticator: tokens, Observer: storages.Live,
		ReconnectTimeout: 10 * time.Second,
	})
	storages.Live.Serve(gateway)
	directory, err := os.MkdirTemp("", "gateway") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(directory) })
	listener, err := net.Listen("unix", filepath.Join(directory, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	server.Add(apiserver.Component{Name: "sandbox gateway", Run: func(ctx context.Context) error {
		return gateway.Serve(ctx, listener) // Live closes the connections
	}})
	return &sandboxGateway{tokens: tokens, address: "unix:" + listener.Addr().String(), ca: ca}
}

// Sandbox is a running sandbox whose sandboxd is a process beside the test.
type Sandbox struct {
	*llmsafespacev1.Sandbox
	// PodUID is what its sandboxd is bound as.
	PodUID types.UID
	// Workspace is its one writable path.
	Workspace string
	// Sandboxd is the process.
	Sandboxd *sandboxdtest.Process
	// SandboxdConfig is what it was told.
	SandboxdConfig sandboxdtest.Config

	server *Server
}

// sandboxMemory is what sandboxes have: without a cgroup of their own, all that
// runs on this machine is counted as theirs.
const sandboxMemory = "1Ti"

// Runtime is the environment of the sandboxes of NewSandbox.
const Runtime = "test-runtime"

// NewSandbox makes a sandbox in the namespace and waits until it is Running.
func (s *Server) NewSandbox(t testing.TB, namespace, name string, change ...func(*llmsafespacev1.Sandbox)) *Sandbox {
	t.Helper()
	sandbox := s.NewPendingSandbox(t, namespace, name, change...)
	sandbox.Connect(t)
	return sandbox
}

// NewPendingSandbox makes a sandbox that has no pod until it is connected.
func (s *Server) NewPendingSandbox(t testing.TB, namespace, name string, change ...func(*llmsafespacev1.Sandbox)) *Sandbox {
	t.Helper()
	api := s.Clients().LlmsafespaceV1()
	_, err := api.RuntimeEnvironments().Create(t.Context(), &llmsafespacev1.RuntimeEnvironment{
		ObjectMeta: metav1.ObjectMeta{Name: Runtime},
		Spec:       llmsafespacev1.RuntimeEnvironmentSpec{Image: "localhost/test:1", Language: "python", Version: "3.11"},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	sandbox := &Sandbox{PodUID: types.UID(uuid.NewString()), Workspace: t.TempDir(), server: s}
	object := &llmsafespacev1.Sandbox{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: llmsafespacev1.SandboxSpec{
			Runtime:    Runtime,
			Filesystem: &llmsafespacev1.Filesystem{WritablePaths: []string{sandbox.Workspace}},
			Resources:  &llmsafespacev1.Resources{Memory: ptr.To(resource.MustParse(sandboxMemory))},
		},
	}
	for _, f := range change {
		f(object)
	}
	if sandbox.Sandbox, err = api.Sandboxes(namespace).Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return sandbox
}

// Connect binds the sandbox to its pod, starts its sandboxd, and waits until it
// is Running.
func (sandbox *Sandbox) Connect(t testing.TB) {
	t.Helper()
	s, object := sandbox.server, sandbox.Sandbox
	namespace, name := object.Namespace, object.Name
	body, err := json.Marshal(sandboxpod.Binding{SandboxUID: object.UID, PodName: name + "-pod", PodNamespace: namespace})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.REST().Put().AbsPath("/apis/llmsafespace.dev/v1/namespaces", namespace, "sandboxes", name, "pods", string(sandbox.PodUID)).
		Body(body).Do(t.Context()).Error(); err != nil {
		t.Fatal(err)
	}
	token, _ := s.gateway.tokens.Issue(sandbox.PodUID)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	sandbox.SandboxdConfig = sandboxdtest.Config{
		Gateway: s.gateway.address, CA: s.gateway.ca, TokenFile: file, WritablePaths: []string{sandbox.Workspace},
	}
	sandbox.Sandboxd = sandboxdtest.Start(t, sandbox.SandboxdConfig)
	s.AwaitSandbox(t, sandbox, llmsafespacev1.SandboxRunning)
}

// AwaitSandbox waits until the sandbox is in a phase.
func (s *Server) AwaitSandbox(t testing.TB, sandbox *Sandbox, phase llmsafespacev1.SandboxPhase) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	api := s.Clients().LlmsafespaceV1().Sandboxes(sandbox.Namespace)
	name := sandbox.Name
	if err := wait.PollUntilContextCancel(ctx, 5*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		now, err := api.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		sandbox.Sandbox = now
		return now.Status.Phase == phase, nil
	}); err != nil {
		t.Fatalf("the sandbox did not become %s: %v; %+v", phase, err, sandbox.Status)
	}
}
