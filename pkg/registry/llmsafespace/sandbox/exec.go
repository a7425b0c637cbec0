// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	"safebeam.dev/safebeam/pkg/registry/access"
	"safebeam.dev/safebeam/pkg/registry/llmsafespace/remotecommand"
	"safebeam.dev/safebeam/pkg/registry/stream"
	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// ExecREST serves sandboxes/exec.
type ExecREST struct {
	connected  connected
	authorizer authorizer.UnconditionalAuthorizer
	streams    *stream.Server
	meter      Meter
}

var (
	_ rest.Connecter       = &ExecREST{}
	_ rest.StorageMetadata = &ExecREST{}
)

// New is what the subresource belongs to.
func (*ExecREST) New() runtime.Object { return &v1.Sandbox{} }

// Destroy does nothing: the storage is the resource's.
func (*ExecREST) Destroy() {}

// ConnectMethods are POST, and GET for WebSockets, which know no other.
func (*ExecREST) ConnectMethods() []string { return []string{http.MethodPost, http.MethodGet} }

// NewConnectOptions are for OpenAPI, and for admission, which sees the command. The
// handler reads the parameters itself, and refuses those that it does not know.
func (*ExecREST) NewConnectOptions() (runtime.Object, bool, string) {
	return &v1.SandboxExecOptions{}, false, ""
}

// ProducesMIMETypes is for OpenAPI.
func (*ExecREST) ProducesMIMETypes(string) []string { return nil }

// ProducesObject is for OpenAPI.
func (*ExecREST) ProducesObject(string) any { return "" }

// Connect serves one command. To run one is to create, whatever the method that
// the protocol has for it: the server has asked for the verb get on a GET.
func (r *ExecREST) Connect(ctx context.Context, name string, _ runtime.Object, responder rest.Responder) (http.Handler, error) {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		began := time.Now()
		if err := r.mayExec(ctx, req, name); err != nil {
			responder.Error(err)
			return
		}
		options, err := remotecommand.ParseOptions(req.URL.Query())
		if err == nil {
			err = remotecommand.Check(req)
		}
		if err != nil {
			responder.Error(err)
			return
		}
		ctx, leave, err := r.streams.Enter(ctx)
		if err != nil {
			responder.Error(err)
			return
		}
		defer leave()
		to, release, err := r.connected.acquire(ctx, name)
		if err != nil {
			responder.Error(err)
			return
		}
		release = sync.OnceFunc(release)
		defer release()
		session, err := remotecommand.Accept(ctx, w, req, options)
		if err != nil {
			return // the client has been told
		}
		status := r.run(ctx, name, to, options, metered{session, r.meter}, began)
		release() // the client may take its time
		session.Finish(status)
	}), nil
}

func (r *ExecREST) mayExec(ctx context.Context, req *http.Request, name string) error {
	if req.Method != http.MethodGet {
		return nil
	}
	namespace := request.NamespaceValue(ctx)
	return access.Require(ctx, r.authorizer, v1.Resource("sandboxes"), name, access.Wish{
		Verb: "create", Resource: v1.SchemeGroupVersion.WithResource("sandboxes"), Subresource: "exec", Namespace: namespace, Name: name,
	})
}

var errClientGone = errors.New("the client went away")

// terminal is the environment of a command that has one.
var terminal = []sandboxes.EnvVar{{Name: "TERM", Value: "xterm"}}

// run runs the command for a session. The command ends when the client goes:
// what shall survive its client is an Execution.
func (r *ExecREST) run(ctx context.Context, name string, in *sandboxes.Sandbox, options remotecommand.Options, session metered, began time.Time) metav1.Status {
	r.meter.ExecOpened()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-session.Gone():
			cancel(errClientGone)
		case <-ctx.Done():
		}
	}()
	command := sandboxes.Command{ID: "exec-" + rand.Text(), Argv: options.Command}
	streams := sandboxes.Streams{
		Output:  func(chunk sandboxes.Chunk) error { return write(session, options, chunk) },
		Started: func(time.Time) { r.meter.ExecStarted(time.Since(began)) },
	}
	if stdin := session.Stdin(); stdin != nil {
		streams.Stdin = stdin // closed by whoever reads it
	}
	if options.TTY {
		command.TTY, command.Env = &sandboxes.WindowSize{Rows: 24, Cols: 80}, terminal
		streams.Resize = sizes(ctx, session.Resizes())
	}
	exit, err := in.Run(ctx, command, streams)
	session.closed(began, exit, err)
	return ended(name, options, session, exit, err)
}

func write(session remotecommand.Session, options remotecommand.Options, chunk sandboxes.Chunk) error {
	stream, wanted := remotecommand.Stdout, options.Stdout
	if chunk.Stderr {
		stream, wanted = remotecommand.Stderr, options.Stderr
	}
	if !wanted {
		return nil
	}
	return session.Write(stream, chunk.Data)
}

// sizes translates the client's sizes until ctx ends.
func sizes(ctx context.Context, from <-chan remotecommand.Size) <-chan sandboxes.WindowSize {
	to := make(chan sandboxes.WindowSize)
	go func() {
		for {
			select {
			case size := <-from:
				select {
				case to <- sandboxes.WindowSize{Rows: uint32(size.Height), Cols: uint32(size.Width)}:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return to
}

// The exit codes of programs that cannot be run are a shell's.
const (
	codeNotExecutable = 126
	codeNotFound      = 127
)

// ended says how the command ended.
func ended(name string, options remotecommand.Options, session remotecommand.Session, exit sandboxes.Exit, err error) metav1.Status {
	var notStarted *sandboxes.StartError
	switch {
	case errors.As(err, &notStarted):
		return refused(options, session, notStarted)
	case err != nil:
		return failure(name, err)
	case exit.Code != 0:
		return remotecommand.NonZero(exit.Code, exit.Message)
	}
	return remotecommand.Success()
}

// refused is the end of a command that did not start. client-go drops the
// message beside an exit code, so it goes where a shell would write it, too.
func refused(options remotecommand.Options, session remotecommand.Session, err *sandboxes.StartError) metav1.Status {
	code := codeNotFound
	switch err.Reason {
	case sandboxpb.NotStarted_NOT_FOUND:
	case sandboxpb.NotStarted_PERMISSION_DENIED:
		code = codeNotExecutable
	case sandboxpb.NotStarted_EXHAUSTED:
		return apierrors.NewTooManyRequests(err.Message, retryAfterSeconds).Status()
	default:
		return apierrors.NewBadRequest(err.Message).Status()
	}
	line := sandboxes.Chunk{Stderr: !options.TTY, Data: []byte(err.Message + "\n")}
	if options.TTY {
		line.Data = []byte(err.Message + "\r\n")
	}
	_ = write(session, options, line) // the status says it as well
	return remotecommand.NonZero(code, err.Message)
}

// failure is the status of a command of which nobody can say how it ended.
func failure(name string, err error) metav1.Status {
	if errors.Is(err, stream.ErrStopping) {
		return unavailable("the server is stopping").(apierrors.APIStatus).Status()
	}
	return statusOf(name, err).(apierrors.APIStatus).Status()
}
