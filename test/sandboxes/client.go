// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sandboxes uses sandboxes as their users do, for tests standalone and on
// a cluster: it makes them, runs commands by client-go's remotecommand, moves
// files, runs executions, and attacks from inside.
package sandboxes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
)

// User is somebody who uses the sandboxes of a namespace.
type User struct {
	Config    *rest.Config
	Client    versioned.Interface
	Namespace string
	// Patience is how long a sandbox may take to change.
	Patience time.Duration
}

// NewUser returns one.
func NewUser(t testing.TB, config *rest.Config, namespace string) *User {
	t.Helper()
	client, err := versioned.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return &User{Config: config, Client: client, Namespace: namespace, Patience: 60 * time.Second}
}

// New is a sandbox of Python that nobody has asked for yet.
func New(name string, change ...func(*v1.SandboxSpec)) *v1.Sandbox {
	sandbox := &v1.Sandbox{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.SandboxSpec{Runtime: "python:3.10"}}
	for _, f := range change {
		f(&sandbox.Spec)
	}
	return sandbox
}

// Create makes a sandbox, and deletes it with the test.
func (u *User) Create(t testing.TB, name string, change ...func(*v1.SandboxSpec)) *v1.Sandbox {
	t.Helper()
	sandbox, err := u.Client.LlmsafespaceV1().Sandboxes(u.Namespace).Create(t.Context(), New(name, change...), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := u.Client.LlmsafespaceV1().Sandboxes(u.Namespace).Delete(context.Background(), name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) && !t.Failed() {
			t.Logf("deleting sandbox %s: %v", name, err)
		}
	})
	return sandbox
}

// Running makes a sandbox and waits until it can be used.
func (u *User) Running(t testing.TB, name string, change ...func(*v1.SandboxSpec)) *v1.Sandbox {
	t.Helper()
	u.Create(t, name, change...)
	return u.Until(t, name, v1.SandboxRunning)
}

// Until waits until a sandbox is in one of the phases.
func (u *User) Until(t testing.TB, name string, phases ...v1.SandboxPhase) *v1.Sandbox {
	t.Helper()
	return u.UntilTrue(t, name, fmt.Sprintf("%v", phases), func(s *v1.Sandbox) bool {
		for _, phase := range phases {
			if s.Status.Phase == phase {
				return true
			}
		}
		return false
	})
}

// UntilTrue waits until something is true of a sandbox.
func (u *User) UntilTrue(t testing.TB, name, what string, is func(*v1.Sandbox) bool) *v1.Sandbox {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), u.Patience)
	defer cancel()
	var sandbox *v1.Sandbox
	err := wait.PollUntilContextCancel(ctx, 20*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		found, err := u.Client.LlmsafespaceV1().Sandboxes(u.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, nil // the server may be on its way back
		}
		sandbox = found
		return is(found), nil
	})
	if err != nil {
		if sandbox == nil {
			t.Fatalf("sandbox %s was not seen", name)
		}
		t.Fatalf("sandbox %s is not %s: %+v", name, what, sandbox.Status)
	}
	return sandbox
}

// Gone deletes a sandbox and waits until nothing is left of it.
func (u *User) Gone(t testing.TB, name string) time.Duration {
	t.Helper()
	began := time.Now()
	if err := u.Client.LlmsafespaceV1().Sandboxes(u.Namespace).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), u.Patience)
	defer cancel()
	if err := wait.PollUntilContextCancel(ctx, 10*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		_, err := u.Client.LlmsafespaceV1().Sandboxes(u.Namespace).Get(ctx, name, metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	}); err != nil {
		t.Fatalf("sandbox %s does not go", name)
	}
	return time.Since(began)
}

// Command is what runs by exec.
type Command struct {
	Argv  []string
	Stdin io.Reader
	TTY   bool
	// SPDY speaks that instead of WebSocket.
	SPDY bool
	// Resize is the terminal's size.
	Resize remotecommand.TerminalSizeQueue
}

// Output is what a command wrote, and how it ended.
type Output struct {
	Stdout, Stderr string
	Code           int
}

// ExecURL is the path of an exec.
func (u *User) ExecURL(sandbox string, c Command) *url.URL {
	query := url.Values{"stdout": {"true"}}
	for _, word := range c.Argv {
		query.Add("command", word)
	}
	if c.Stdin != nil {
		query.Set("stdin", "true")
	}
	if c.TTY {
		query.Set("tty", "true")
	} else {
		query.Set("stderr", "true")
	}
	where, err := url.Parse(strings.TrimSuffix(u.Config.Host, "/") + "/apis/llmsafespace.dev/v1/namespaces/" + u.Namespace + "/sandboxes/" + sandbox + "/exec")
	if err != nil {
		panic(err)
	}
	where.RawQuery = query.Encode()
	return where
}

// Exec runs a command as kubectl exec would.
func (u *User) Exec(ctx context.Context, sandbox string, c Command) (Output, error) {
	var (
		executor remotecommand.Executor
		err      error
	)
	if where := u.ExecURL(sandbox, c); c.SPDY {
		executor, err = remotecommand.NewSPDYExecutor(u.Config, http.MethodPost, where)
	} else {
		executor, err = remotecommand.NewWebSocketExecutor(u.Config, http.MethodGet, where.String())
	}
	if err != nil {
		return Output{}, err
	}
	var stdout, stderr bytes.Buffer
	options := remotecommand.StreamOptions{Stdin: c.Stdin, Stdout: &stdout, Tty: c.TTY, TerminalSizeQueue: c.Resize}
	if !c.TTY {
		options.Stderr = &stderr
	}
	err = executor.StreamWithContext(ctx, options)
	output := Output{Stdout: stdout.String(), Stderr: stderr.String()}
	var exit utilexec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		output.Code, err = exit.ExitStatus(), nil
	}
	return output, err
}

// Sh runs a script by the shell inside.
func (u *User) Sh(t testing.TB, sandbox, script string) Output {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), u.Patience)
	defer cancel()
	output, err := u.Exec(ctx, sandbox, Command{Argv: []string{"/bin/sh", "-c", script}})
	if err != nil {
		t.Fatalf("exec in sandbox %s: %v", sandbox, err)
	}
	return output
}

// File sends a request for a path of the sandbox.
func (u *User) File(t testing.TB, method, sandbox, path string, body io.Reader, header http.Header) (int, []byte, http.Header) {
	t.Helper()
	client, err := rest.HTTPClientFor(u.Config)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, strings.TrimSuffix(u.Config.Host, "/")+
		"/apis/llmsafespace.dev/v1/namespaces/"+u.Namespace+"/sandboxes/"+sandbox+"/files"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, data, response.Header
}

// Start makes an execution.
func (u *User) Start(t testing.TB, name string, spec v1.ExecutionSpec) *v1.Execution {
	t.Helper()
	execution, err := u.Client.LlmsafespaceV1().Executions(u.Namespace).Create(t.Context(), &v1.Execution{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec,
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return execution
}

// Ended waits until an execution has.
func (u *User) Ended(t testing.TB, name string) *v1.Execution {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), u.Patience)
	defer cancel()
	var execution *v1.Execution
	if err := wait.PollUntilContextCancel(ctx, 10*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		found, err := u.Client.LlmsafespaceV1().Executions(u.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, nil
		}
		execution = found
		return found.Status.Phase.Terminal(), nil
	}); err != nil {
		t.Fatalf("execution %s does not end: %+v", name, execution)
	}
	return execution
}

// Run runs an execution to its end.
func (u *User) Run(t testing.TB, name string, spec v1.ExecutionSpec) *v1.Execution {
	t.Helper()
	u.Start(t, name, spec)
	return u.Ended(t, name)
}

// Text is what an execution wrote to a stream.
func Text(output *v1.ExecutionOutput) string {
	if output == nil {
		return ""
	}
	return output.Head + output.Tail
}
