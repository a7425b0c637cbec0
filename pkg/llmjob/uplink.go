// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package llmjob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	tightbeampb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// uplink carries the chunks of one attempt to the gateway, over as many
// connections as it takes.
type uplink struct {
	client  tightbeampb.TightbeamControllerClient
	turnUID string
	attempt int32
	box     *outbox
	// cancelled is called when the gateway says that the attempt is over.
	cancelled func()
	timing    timing
	log       *slog.Logger
}

// timing are the waits of a job, apart so that tests need not wait.
type timing struct {
	minBackoff, maxBackoff time.Duration
	// header is how long a reconnected job waits to be told where to go on.
	// Without an answer it sends all that is not acknowledged; the gateway
	// knows the chunks by their numbers.
	header time.Duration
	// patience is how long a gateway may be away before an attempt, or the
	// job, is given up.
	patience time.Duration
	// refusals is how long the gateway may refuse the job's identity: it may
	// not know of a new pod yet, or the token is being rotated.
	refusals time.Duration
	// flush is how long the last chunks may take once the job has to leave.
	flush time.Duration
}

var defaultTiming = timing{
	minBackoff: 50 * time.Millisecond,
	maxBackoff: 2 * time.Second,
	header:     10 * time.Second,
	patience:   5 * time.Minute,
	refusals:   30 * time.Second,
	flush:      5 * time.Second,
}

// errOver ends an uplink whose attempt the gateway has ended.
var errOver = errors.New("the gateway says that the attempt is over")

// run returns nil when the terminal chunk is durable or the gateway has ended
// the attempt, and an error when it gave up.
func (u *uplink) run(ctx context.Context) error {
	defer close(u.box.gone)
	wait := newBackoff(u.timing)
	contact := time.Now()
	for first := true; ; first = false {
		progress, err := u.session(ctx, first)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errOver):
			u.cancelled()
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !retryable(err):
			return fmt.Errorf("the gateway refused the answer: %w", err)
		}
		if progress {
			contact = time.Now()
			wait.reset()
		}
		limit := u.timing.patience
		if refused(err) {
			limit = u.timing.refusals
		}
		if away := time.Since(contact); away > limit {
			return fmt.Errorf("the gateway was away for %s: %w", away.Round(time.Second), err)
		}
		u.log.Warn("Connection lost, going on behind the last durable chunk", "durable", u.box.durable(), "err", err)
		if err := wait.sleep(ctx); err != nil {
			return err
		}
	}
}

// session is one connection's worth. progress tells whether the gateway
// answered at all.
func (u *uplink) session(ctx context.Context, first bool) (progress bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := u.client.StreamTurnResultAcked(metadata.AppendToOutgoingContext(ctx,
		MetadataTurnUID, u.turnUID, MetadataAttempt, strconv.Itoa(int(u.attempt))))
	if err != nil {
		return false, err
	}
	sent := int64(0)
	if !first {
		received, known, err := u.whereToGoOn(ctx, stream)
		if err != nil {
			return false, err
		}
		u.box.ack(received)
		sent = u.box.durable()
		progress = known
	}

	acks := make(chan error, 1)
	heard := make(chan struct{}, 1)
	go func() { acks <- u.receive(stream, heard) }()
	sendErr := u.send(ctx, stream, sent, acks)
	cancelOn(sendErr, cancel)
	err = <-acks
	select {
	case <-heard:
		progress = true
	default:
	}
	if errors.Is(err, errOver) || err == nil {
		return true, err
	}
	return progress, err
}

// cancelOn makes the receiver return where sending failed for a reason of the
// job's own; a failure of the stream reaches the receiver by itself, with the
// gateway's status.
func cancelOn(err error, cancel context.CancelFunc) {
	if err != nil && !errors.Is(err, io.EOF) {
		cancel()
	}
}

type ackStream interface {
	Header() (metadata.MD, error)
	Send(*tightbeampb.TurnResultChunk) error
	Recv() (*tightbeampb.TurnAck, error)
	CloseSend() error
}

// whereToGoOn is the last durable chunk; known tells whether the gateway said
// so. A refusal has no header, and shows when the stream is read.
func (u *uplink) whereToGoOn(ctx context.Context, stream ackStream) (received int64, known bool, err error) {
	type answer struct {
		md  metadata.MD
		err error
	}
	got := make(chan answer, 1)
	// The stream's context ends with the session, and the goroutine with it.
	go func() {
		md, err := stream.Header()
		got <- answer{md, err}
	}()
	t := time.NewTimer(u.timing.header)
	defer t.Stop()
	select {
	case a := <-got:
		if a.err != nil {
			return 0, false, a.err
		}
		v := a.md.Get(MetadataReceived)
		if len(v) == 0 {
			return 0, false, nil
		}
		n, err := strconv.ParseInt(v[0], 10, 64)
		if err != nil || n < 0 {
			return 0, false, nil
		}
		return n, true, nil
	case <-t.C:
		return 0, false, nil
	case <-ctx.Done():
		return 0, false, ctx.Err()
	}
}

// send hands over chunks until the terminal one is out.
func (u *uplink) send(ctx context.Context, stream ackStream, sent int64, acks chan error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The receiver's end is the session's end: it wakes a sender that waits
	// for the provider.
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case err := <-acks:
			acks <- err
			cancel()
		case <-stop:
		}
	}()
	for {
		c, err := u.box.next(ctx, sent)
		if err != nil {
			return err
		}
		if c == nil {
			return stream.CloseSend()
		}
		if err := stream.Send(c); err != nil {
			return err
		}
		sent = c.Sequence
	}
}

// receive reads acknowledgements until all is durable (nil), the attempt is
// over (errOver), or the connection ends.
func (u *uplink) receive(stream ackStream, heard chan<- struct{}) error {
	for {
		ack, err := stream.Recv()
		if err != nil {
			if u.box.done() {
				return nil
			}
			if errors.Is(err, io.EOF) {
				return status.Error(codes.Unavailable, "the gateway closed the stream before all was durable")
			}
			return err
		}
		signal(heard)
		u.box.ack(ack.GetReceived())
		switch {
		case ack.GetCancel():
			return errOver
		case u.box.done():
			return nil
		}
	}
}

// retryable tells a connection that broke from an answer that will not change.
func retryable(err error) bool {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition,
		codes.Aborted, codes.OutOfRange, codes.Unimplemented, codes.DataLoss:
		return false
	}
	return true
}

// refused tells that the gateway did not accept the job's identity.
func refused(err error) bool {
	c := status.Code(err)
	return c == codes.Unauthenticated || c == codes.PermissionDenied
}

// backoff grows with jitter between two bounds.
type backoff struct {
	t    timing
	next time.Duration
}

func newBackoff(t timing) *backoff { return &backoff{t: t, next: t.minBackoff} }

func (b *backoff) reset() { b.next = b.t.minBackoff }

func (b *backoff) sleep(ctx context.Context) error {
	d := b.next/2 + rand.N(b.next/2+1)
	b.next = min(b.next*2, b.t.maxBackoff)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
