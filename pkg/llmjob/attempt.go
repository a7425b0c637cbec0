// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package llmjob

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"google.golang.org/protobuf/proto"

	"safebeam.dev/safebeam/pkg/provider"
	tightbeampb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

var (
	errTurnOver     = errors.New("the gateway ended the attempt")
	errShuttingDown = errors.New("the job is shutting down")
)

// attempt runs one assignment: it calls the provider and carries the answer to
// the gateway, side by side. It returns once both have ended.
type attempt struct {
	assignment *tightbeampb.TurnAssignment
	client     tightbeampb.TightbeamControllerClient
	secret     *Secret
	provider   func(name string, mc *tightbeampb.ModelConfig, s *Secret) (provider.Provider, error)
	timing     timing
	log        *slog.Logger
}

// run takes two contexts: stop ends the provider's call, for a job that has to
// leave; what is in the outbox then still has timing.flush to get out.
func (t *attempt) run(stop context.Context) error {
	call, cancel := context.WithCancelCause(context.WithoutCancel(stop))
	defer cancel(nil)
	defer context.AfterFunc(stop, func() { cancel(errShuttingDown) })()
	if ms := t.assignment.GetDeadlineUnixMillis(); ms > 0 {
		var drop context.CancelFunc
		call, drop = context.WithDeadline(call, time.UnixMilli(ms))
		defer drop()
	}
	link, unlink := context.WithCancel(context.WithoutCancel(stop))
	defer unlink()

	box := newOutbox(maxUnacknowledged)
	up := &uplink{
		client: t.client, turnUID: t.assignment.GetTurnUid(), attempt: t.assignment.GetAttempt(), box: box,
		cancelled: func() { cancel(errTurnOver) }, timing: t.timing, log: t.log,
	}
	linked := make(chan error, 1)
	go func() {
		err := up.run(link)
		if err != nil {
			cancel(errAbandoned)
		}
		linked <- err
	}()

	box.seal(t.answer(call, box))

	defer context.AfterFunc(stop, func() { time.AfterFunc(t.timing.flush, unlink) })()
	return <-linked
}

// answer calls the provider and returns the terminal chunk.
func (t *attempt) answer(ctx context.Context, box *outbox) *tightbeampb.TurnResultChunk {
	visible := false
	res, err := t.call(ctx, func(ev provider.Event) error {
		// Thinking is not: see afterFailure at the gateway.
		visible = visible || (ev.Delta != nil && ev.Delta.Kind != provider.KindThinking)
		for _, c := range chunks(ev) {
			if err := box.put(ctx, c); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		c := complete(res)
		if proto.Size(c) < MaxMessageSize-1024 {
			return c
		}
		err = provider.Errorf(provider.Internal, "the answer is above %d MiB", MaxMessageSize>>20)
	}
	return failure(t.failed(ctx, err, visible))
}

// failed says why an attempt ended: its own end first, then the provider's
// word. A job that leaves hands its attempt over as lost to the network, which
// may be tried again, unless somebody has seen a part of it.
func (t *attempt) failed(ctx context.Context, err error, visible bool) *provider.Error {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, errShuttingDown):
		class := provider.Network
		if visible {
			class = provider.Truncated
		}
		return provider.Errorf(class, "the job was shut down during the attempt")
	case errors.Is(cause, errTurnOver), errors.Is(cause, errAbandoned):
		return provider.Errorf(provider.Internal, "%v", cause)
	}
	var pe *provider.Error
	if errors.As(err, &pe) {
		return pe
	}
	return provider.Errorf(provider.Internal, "%v", err)
}

func (t *attempt) call(ctx context.Context, emit provider.Emit) (res *provider.Result, err error) {
	// A panic over a strange answer ends one attempt, not the other turns of
	// the job.
	defer func() {
		if r := recover(); r != nil {
			t.log.Error("The provider's adapter failed", "panic", redact(t.secret, fmt.Sprint(r)), "stack", redact(t.secret, string(debug.Stack())))
			res, err = nil, provider.Errorf(provider.Internal, "the provider's adapter failed: %s", redact(t.secret, fmt.Sprint(r)))
		}
	}()
	mc := t.assignment.GetModelConfig()
	name := mc.GetProvider()
	if name == "" && t.secret != nil {
		name = t.secret.Provider
	}
	p, err := t.provider(name, mc, t.secret)
	if err != nil {
		return nil, err
	}
	return p.Call(ctx, request(t.assignment, t.secret), emit)
}

func redact(s *Secret, text string) string {
	if s == nil {
		return text
	}
	return s.Key.Redact(text)
}
