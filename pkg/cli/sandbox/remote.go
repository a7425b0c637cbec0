// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"

	"safebeam.dev/safebeam/pkg/cli/request"
	llmsafespaceclient "safebeam.dev/safebeam/pkg/generated/clientset/versioned/typed/llmsafespace/v1"
)

// remote is the namespace of a server in which a command works.
type remote struct {
	llmsafespaceclient.LlmsafespaceV1Interface
	config    *rest.Config
	namespace string
}

func connect(target *request.Target) (*remote, error) {
	namespace, err := target.Namespace()
	if err != nil {
		return nil, err
	}
	config, err := target.Config()
	if err != nil {
		return nil, err
	}
	clients, err := target.Connect()
	if err != nil {
		return nil, err
	}
	return &remote{LlmsafespaceV1Interface: clients.LlmsafespaceV1(), config: config, namespace: namespace}, nil
}

// exec runs a command in a sandbox to its end. An exit code other than 0 is a
// utilexec.CodeExitError.
func (r *remote) exec(ctx context.Context, sandbox string, argv []string, options remotecommand.StreamOptions) error {
	post := r.RESTClient().Post().Namespace(r.namespace).Resource("sandboxes").Name(sandbox).SubResource("exec")
	for _, word := range argv {
		post = post.Param("command", word)
	}
	for name, wanted := range map[string]bool{
		"stdin": options.Stdin != nil, "stdout": options.Stdout != nil, "stderr": options.Stderr != nil && !options.Tty, "tty": options.Tty,
	} {
		post = post.Param(name, strconv.FormatBool(wanted))
	}
	overSPDY, err := remotecommand.NewSPDYExecutor(r.config, http.MethodPost, post.URL())
	if err != nil {
		return err
	}
	overWebSocket, err := remotecommand.NewWebSocketExecutor(r.config, http.MethodGet, post.URL().String())
	if err != nil {
		return err
	}
	executor, err := remotecommand.NewFallbackExecutor(overWebSocket, overSPDY, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	if err != nil {
		return err
	}
	// It tells of what it could not hand over to a command that had ended: that
	// is the command's business.
	err = executor.StreamWithContext(klog.NewContext(ctx, klog.Logger{}), options)
	// A refusal is told in the server's own words, however it was carried.
	var refused *httpstream.UpgradeFailureError
	if errors.As(err, &refused) && refused.Cause != nil {
		return refused.Cause
	}
	if err != nil {
		if words, ok := strings.CutPrefix(err.Error(), "unable to upgrade connection: "); ok {
			return errors.New(words)
		}
	}
	return err
}

// ask runs a command and returns what it writes, which is bounded.
func (r *remote) ask(ctx context.Context, sandbox string, argv ...string) (stdout, stderr string, err error) {
	var out, errOut tail
	err = r.exec(ctx, sandbox, argv, remotecommand.StreamOptions{Stdout: &out, Stderr: &errOut})
	return string(out.kept), string(errOut.kept), err
}

// exitCode is that of a command that ran to its end.
func exitCode(err error) (code int, ran bool) {
	var exit utilexec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exit.ExitStatus(), true
	}
	return 0, err == nil
}

// exited is the end of a command, for who called this one.
func exited(code int, format string, args ...any) error {
	return utilexec.CodeExitError{Err: fmt.Errorf(format, args...), Code: code}
}

// tail keeps the end of what is written.
type tail struct{ kept []byte }

const tailBytes = 4 << 10

func (t *tail) Write(data []byte) (int, error) {
	t.kept = append(t.kept, data...)
	if over := len(t.kept) - tailBytes; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(data), nil
}

// counted tells how much went through it.
type counted struct {
	io.Reader
	count func(int)
}

func (c counted) Read(data []byte) (int, error) {
	n, err := c.Reader.Read(data)
	c.count(n)
	return n, err
}
