// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxes

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"safebeam.dev/safebeam/pkg/sandboxd/carriage"
	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// Errors of calls on a sandbox.
var (
	// ErrNotConnected: the sandbox is away and did not come back in time.
	ErrNotConnected = errors.New("the sandbox is not connected")
	// ErrLost: what became of the process cannot be known.
	ErrLost = errors.New("the process is lost")
	// ErrMisbehaved: sandboxd said what it may not.
	ErrMisbehaved = errors.New("the sandbox's agent misbehaves")

	errReplaced  = errors.New("sandboxd connected anew")
	errDuplicate = errors.New("another sandboxd speaks for this pod")
)

// pod is what is known of one pod: who may speak for it, and the connection.
type pod struct {
	server *Server
	uid    types.UID
	calls  chan struct{}

	// admission is held while one connection takes the place of another.
	admission sync.Mutex

	mu       sync.Mutex
	instance []byte
	link     *link
	change   chan struct{} // closed, and made anew, when link or over change
	over     error
}

// link is one connection.
type link struct {
	client    *carriage.Client
	agent     sandboxpb.AgentClient
	processes sandboxpb.ProcessesClient
	files     sandboxpb.FilesClient

	mu     sync.Mutex
	reason error // why we ended it
}

func newLink(c *carriage.Client) *link {
	return &link{
		client:    c,
		agent:     sandboxpb.NewAgentClient(c),
		processes: sandboxpb.NewProcessesClient(c),
		files:     sandboxpb.NewFilesClient(c),
	}
}

// cut ends the connection; the first reason counts.
func (l *link) cut(reason error) {
	l.mu.Lock()
	if l.reason == nil {
		l.reason = reason
	}
	l.mu.Unlock()
	l.client.Close()
}

func (l *link) whyOver() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reason != nil {
		return l.reason
	}
	return carriage.ErrConnectionLost
}

func newPod(s *Server, uid types.UID) *pod {
	return &pod{server: s, uid: uid, change: make(chan struct{}), calls: make(chan struct{}, maxCalls)}
}

// reserve checks the instance, and on success leaves admission locked.
func (p *pod) reserve(instance []byte) (sandboxpb.Welcome_Verdict, error) {
	p.admission.Lock()
	p.mu.Lock()
	if p.instance == nil {
		p.instance = append([]byte(nil), instance...)
	}
	same := subtle.ConstantTimeCompare(p.instance, instance) == 1
	old, over := p.link, p.over
	p.mu.Unlock()
	switch {
	case over != nil:
		p.admission.Unlock()
		return sandboxpb.Welcome_GONE, over
	case !same:
		p.admission.Unlock()
		return sandboxpb.Welcome_DUPLICATE, errDuplicate
	}
	if old != nil {
		old.cut(errReplaced)
		p.disconnect(old)
	}
	return sandboxpb.Welcome_ACCEPTED, nil
}

// connect makes l the pod's connection until it is over.
func (p *pod) connect(l *link) {
	p.mu.Lock()
	if p.over != nil {
		p.mu.Unlock()
		l.cut(p.over)
		return
	}
	p.link = l
	p.signal()
	p.mu.Unlock()
	p.server.options.Observer.Connected(p.uid)
	p.server.owned.Go(func() {
		<-l.client.Done()
		l.client.Close()
		p.disconnect(l)
	})
}

func (p *pod) disconnect(l *link) {
	p.mu.Lock()
	if p.link != l {
		p.mu.Unlock()
		return
	}
	p.link = nil
	p.signal()
	p.mu.Unlock()
	p.server.options.Observer.Disconnected(p.uid, l.whyOver())
}

func (p *pod) end(reason error) {
	p.mu.Lock()
	p.over = reason
	l := p.link
	p.signal()
	p.mu.Unlock()
	if l != nil {
		l.cut(reason)
	}
}

func (p *pod) signal() {
	close(p.change)
	p.change = make(chan struct{})
}

func (p *pod) current() (*link, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.link, p.change
}

// wait returns the connection, and waits for it up to a time.
func (p *pod) wait(ctx context.Context, most time.Duration) (*link, error) {
	var timeout <-chan time.Time
	for {
		p.mu.Lock()
		l, change, over := p.link, p.change, p.over
		p.mu.Unlock()
		if over != nil {
			return nil, over
		}
		if l != nil {
			return l, nil
		}
		if timeout == nil {
			timer := time.NewTimer(most)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-change:
		case <-timeout:
			return nil, fmt.Errorf("%w: waited %s", ErrNotConnected, most)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// misbehaved ends a connection on which sandboxd said what it may not.
func (p *pod) misbehaved(l *link, format string, args ...any) error {
	err := fmt.Errorf("%w: %s", ErrMisbehaved, fmt.Sprintf(format, args...))
	p.server.options.Observer.Misbehaved(p.uid, err)
	l.cut(err)
	return err
}
