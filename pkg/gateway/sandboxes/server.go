// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxes

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"safebeam.dev/safebeam/pkg/sandboxd/carriage"
	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// An Authenticator knows which pod a token was given to. It may wait for the
// record of that pod, within ctx.
type Authenticator interface {
	// Authenticate returns the UID of the pod, or an error that wraps
	// ErrUnauthenticated if the token is no sandbox's, or ErrGone if that pod's
	// sandbox is over. With any other error sandboxd tries again.
	Authenticate(ctx context.Context, token string) (podUID types.UID, err error)
}

// Errors of an Authenticator.
var (
	ErrUnauthenticated = errors.New("the token is not that of a sandbox")
	ErrGone            = errors.New("the sandbox is over")
)

// An Observer is told what happens to connections. It must not block.
type Observer interface {
	Connected(podUID types.UID)
	Disconnected(podUID types.UID, reason error)
	// Refused reports somebody who spoke for the pod and was not let in.
	Refused(podUID types.UID, reason error)
	// Misbehaved reports a sandboxd that said what it may not.
	Misbehaved(podUID types.UID, reason error)
}

// Options of a Server.
type Options struct {
	// TLS has the serving certificate.
	TLS           *tls.Config
	Authenticator Authenticator
	// Observer may be nil.
	Observer Observer
	// ReconnectTimeout is how long a call waits for a sandbox that is away.
	// Default: 30 s.
	ReconnectTimeout time.Duration
	// HelloTimeout bounds TLS, Hello and authentication. Default: 15 s.
	HelloTimeout time.Duration
	// MaxPods bounds the pods that are known. Default: 10000.
	MaxPods int
}

const (
	// maxGreeting bounds the connections of one listener that have not yet said
	// who they are, and maxGreetingFrom those from one address: a sandbox that
	// dials without end keeps no other one out.
	maxGreeting     = 256
	maxGreetingFrom = 8
	// maxCalls bounds the calls on one sandbox.
	maxCalls = 256
)

// Server keeps the connections of all sandboxes.
type Server struct {
	options Options
	tls     *tls.Config
	owned   sync.WaitGroup

	mu     sync.Mutex
	pods   map[types.UID]*pod
	closed bool
}

// NewServer makes a server.
func NewServer(o Options) *Server {
	if o.ReconnectTimeout <= 0 {
		o.ReconnectTimeout = 30 * time.Second
	}
	if o.HelloTimeout <= 0 {
		o.HelloTimeout = 15 * time.Second
	}
	if o.MaxPods <= 0 {
		o.MaxPods = 10000
	}
	if o.Observer == nil {
		o.Observer = silent{}
	}
	config := o.TLS.Clone()
	config.NextProtos = []string{carriage.Protocol}
	return &Server{options: o, tls: config, pods: map[types.UID]*pod{}}
}

type silent struct{}

func (silent) Connected(types.UID)           {}
func (silent) Disconnected(types.UID, error) {}
func (silent) Refused(types.UID, error)      {}
func (silent) Misbehaved(types.UID, error)   {}

// Serve takes connections from l until ctx is over; it closes l. It may be called
// for several listeners, which do not share their bounds: the local launcher has
// one for each sandbox.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	greeting := newTurnstile(time.Now)
	var handlers sync.WaitGroup
	defer handlers.Wait()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			if conn != nil {
				conn.Close()
			}
			return ctx.Err()
		}
		if err != nil {
			var temporary interface{ Timeout() bool }
			if errors.As(err, &temporary) && temporary.Timeout() || isExhausted(err) {
				time.Sleep(10 * time.Millisecond)
				continue
			}
			return err
		}
		from := source(conn)
		if !greeting.enter(from) {
			conn.Close()
			continue
		}
		handlers.Go(func() {
			defer greeting.leave(from)
			s.greet(ctx, tls.Server(conn, s.tls))
		})
	}
}

// Greet takes a connection whose TLS handshake another listener has done, having
// found carriage.Protocol agreed on.
func (s *Server) Greet(ctx context.Context, conn *tls.Conn) { s.greet(ctx, conn) }

// greet hears who is there, and lets it in or not.
func (s *Server) greet(ctx context.Context, conn *tls.Conn) {
	ctx, cancel := context.WithTimeout(ctx, s.options.HelloTimeout)
	defer cancel()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	// Who has not been let in when the server ends is sent away.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := conn.HandshakeContext(ctx); err != nil || conn.ConnectionState().NegotiatedProtocol != carriage.Protocol {
		conn.Close()
		return
	}
	var hello sandboxpb.Hello
	if err := carriage.ReadMessage(conn, &hello); err != nil {
		conn.Close()
		return
	}
	uid, verdict, err := s.identify(ctx, &hello)
	if err != nil {
		if uid != "" {
			s.options.Observer.Refused(uid, err)
		}
		refuse(conn, verdict, err)
		return
	}
	if !stop() {
		return
	}
	if verdict, err := s.admit(uid, &hello, conn); err != nil {
		s.options.Observer.Refused(uid, err)
		refuse(conn, verdict, err)
	}
}

func refuse(conn net.Conn, verdict sandboxpb.Welcome_Verdict, reason error) {
	carriage.WriteMessage(conn, &sandboxpb.Welcome{Verdict: verdict, Message: reason.Error()})
	conn.Close()
}

func (s *Server) identify(ctx context.Context, hello *sandboxpb.Hello) (types.UID, sandboxpb.Welcome_Verdict, error) {
	if len(hello.Instance) != carriage.InstanceBytes || hello.Token == "" {
		return "", sandboxpb.Welcome_UNAUTHENTICATED, errors.New("the hello is not complete")
	}
	uid, err := s.options.Authenticator.Authenticate(ctx, hello.Token)
	switch {
	case errors.Is(err, ErrUnauthenticated):
		return "", sandboxpb.Welcome_UNAUTHENTICATED, ErrUnauthenticated
	case errors.Is(err, ErrGone):
		return uid, sandboxpb.Welcome_GONE, ErrGone
	case err != nil:
		// What went wrong with the authenticator is not for sandboxd to know.
		return uid, sandboxpb.Welcome_UNAVAILABLE, errors.New("the token could not be verified now")
	case uid == "":
		return "", sandboxpb.Welcome_UNAUTHENTICATED, ErrUnauthenticated
	}
	return uid, sandboxpb.Welcome_ACCEPTED, nil
}

// admit welcomes a connection as the pod's.
func (s *Server) admit(uid types.UID, hello *sandboxpb.Hello, conn net.Conn) (sandboxpb.Welcome_Verdict, error) {
	s.mu.Lock()
	p := s.pods[uid]
	switch {
	case s.closed:
		s.mu.Unlock()
		return sandboxpb.Welcome_UNAVAILABLE, errors.New("the gateway is closing")
	case p == nil && len(s.pods) >= s.options.MaxPods:
		s.mu.Unlock()
		return sandboxpb.Welcome_UNAVAILABLE, fmt.Errorf("%d pods are connected, which is the limit", s.options.MaxPods)
	case p == nil:
		p = newPod(s, uid)
		s.pods[uid] = p
	}
	s.mu.Unlock()
	if verdict, err := p.reserve(hello.Instance); err != nil {
		return verdict, err
	}
	defer p.admission.Unlock()
	if err := carriage.WriteMessage(conn, &sandboxpb.Welcome{Verdict: sandboxpb.Welcome_ACCEPTED}); err != nil {
		conn.Close()
		return 0, nil
	}
	conn.SetDeadline(time.Time{})
	client, err := carriage.NewClient(conn)
	if err != nil {
		return sandboxpb.Welcome_UNAVAILABLE, err
	}
	p.connect(newLink(client))
	return 0, nil
}

// Sandbox is the sandbox of a pod, connected or not. The pod is known from then on,
// so that it can be waited for, until it is forgotten: whoever asks sees to that.
func (s *Server) Sandbox(podUID types.UID) *Sandbox {
	p, err := s.known(podUID)
	return &Sandbox{server: s, pod: p, err: err}
}

// Lookup is the sandbox of a pod that is known; of any other one, one that is not
// connected and never will be.
func (s *Server) Lookup(podUID types.UID) *Sandbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &Sandbox{server: s, pod: s.pods[podUID], err: ErrNotConnected}
}

// known returns the pod, and makes it known so that it can be waited for.
func (s *Server) known(uid types.UID) (*pod, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrNotConnected
	}
	p := s.pods[uid]
	if p == nil {
		if len(s.pods) >= s.options.MaxPods {
			return nil, fmt.Errorf("%w: %d pods are known, which is the limit", ErrNotConnected, s.options.MaxPods)
		}
		p = newPod(s, uid)
		s.pods[uid] = p
	}
	return p, nil
}

// own counts something that Close has to wait for, unless it is too late for that.
func (s *Server) own() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.owned.Add(1)
	return true
}

// Forget ends a pod's connection and all calls on it, and what was known of the
// pod. The Authenticator has to refuse its token from now on.
func (s *Server) Forget(podUID types.UID) {
	s.mu.Lock()
	p := s.pods[podUID]
	delete(s.pods, podUID)
	s.mu.Unlock()
	if p != nil {
		p.end(ErrGone)
	}
}

// Connected lists the pods that have a live connection.
func (s *Server) Connected() []types.UID {
	s.mu.Lock()
	pods := make([]*pod, 0, len(s.pods))
	for _, p := range s.pods {
		pods = append(pods, p)
	}
	s.mu.Unlock()
	var uids []types.UID
	for _, p := range pods {
		if l, _ := p.current(); l != nil {
			uids = append(uids, p.uid)
		}
	}
	return uids
}

// Close ends every connection and waits for what the server started. The
// listeners end with the contexts of Serve.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	pods := s.pods
	s.pods = map[types.UID]*pod{}
	s.mu.Unlock()
	for _, p := range pods {
		p.end(ErrNotConnected)
	}
	s.owned.Wait()
}
