// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/klog/v2"
)

// DefaultIdle is how long a stream may say nothing. It is below the minute
// after which common load balancers give a connection up.
const DefaultIdle = 30 * time.Second

// Server has what all streams of a server share.
type Server struct {
	// Stopping is closed when streams must end, because the server does.
	Stopping <-chan struct{}
	// Idle is how long a stream may say nothing; 0 means DefaultIdle.
	Idle time.Duration
	// Max is the number of streams that may be open at a time; 0 is no bound.
	Max int

	open atomic.Int64

	watch sync.Once
	// running ends when streams must.
	running context.Context
}

// ending is the context that ends with Stopping: one goroutine waits for that,
// and not one a stream.
func (s *Server) ending() context.Context {
	s.watch.Do(func() {
		if s.Stopping == nil {
			s.running = context.Background()
			return
		}
		running, end := context.WithCancel(context.Background())
		s.running = running
		go func() {
			<-s.Stopping
			end()
		}()
	})
	return s.running
}

// retryAfterSeconds is what a reader is told to wait if there are too many.
const retryAfterSeconds = 5

// Handler serves one request. open reads the request's parameters and gives
// the reader, or a typed error.
func (s *Server) Handler(responder rest.Responder, open func(*http.Request) (Reader, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, leave, err := s.Enter(r.Context())
		if err != nil {
			responder.Error(err)
			return
		}
		defer leave()

		var reader Reader
		Aside(func() { reader, err = open(r.WithContext(ctx)) })
		if err != nil {
			responder.Error(statusOf(err))
			return
		}
		defer reader.Close()

		err = s.serve(ctx, w, negotiate(r.Header.Values("Accept")), reader)
		switch {
		case err == nil || errors.Is(context.Cause(ctx), ErrStopping) || r.Context().Err() != nil:
		default:
			klog.FromContext(ctx).Error(err, "Stream broken off", "path", r.URL.Path)
			panic(http.ErrAbortHandler)
		}
	})
}

// ErrStopping is why the context of a stream ends when the server does.
var ErrStopping = errors.New("the server is stopping")

// Enter counts a stream until leave is called. The context ends when the server
// stops, with ErrStopping. The error is a Status: there are too many.
func (s *Server) Enter(ctx context.Context) (_ context.Context, leave func(), _ error) {
	if n := s.open.Add(1); s.Max > 0 && n > int64(s.Max) {
		s.open.Add(-1)
		return nil, nil, apierrors.NewTooManyRequests(fmt.Sprintf("%d streams are open, which is this server's limit (--max-streams); come back later", s.Max), retryAfterSeconds)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.ending(), func() { cancel(ErrStopping) })
	return ctx, func() { stop(); cancel(nil); s.open.Add(-1) }, nil
}

func (s *Server) serve(ctx context.Context, w http.ResponseWriter, form encoding, reader Reader) error {
	idle := s.Idle
	if idle == 0 {
		idle = DefaultIdle
	}
	w.Header().Set("Content-Type", form.contentType)
	// nginx and its like hold a response back unless told not to.
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	if err := control.Flush(); err != nil {
		return err
	}

	wait := newQuiet(ctx, idle)
	defer func() { wait.stop() }()
	var buffer []byte
	for {
		records, err := reader.Next(wait)
		buffer = buffer[:0]
		for _, record := range records {
			buffer = form.append(buffer, record)
		}
		if wait.over() {
			if errors.Is(err, context.Canceled) {
				buffer, err = append(buffer, form.idle...), nil
			}
			wait.stop()
			wait = newQuiet(ctx, idle)
		} else if err == nil {
			wait.heard()
		}
		if len(buffer) > 0 {
			if _, werr := w.Write(buffer); werr != nil {
				return nil // the reader went away
			}
			if werr := control.Flush(); werr != nil {
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if cap(buffer) > maxKeptBuffer {
			buffer = nil
		}
	}
}

// maxKeptBuffer bounds what an idle stream holds on to.
const maxKeptBuffer = 64 << 10

// statusOf makes a failure to open a typed Status.
func statusOf(err error) error {
	var cursor *CursorError
	if errors.As(err, &cursor) {
		status := apierrors.NewResourceExpired(cursor.Error())
		status.ErrStatus.Details = &metav1.StatusDetails{Causes: []metav1.StatusCause{{
			Type: metav1.CauseTypeFieldValueInvalid, Field: "after", Message: cursor.Error(),
		}}}
		return status
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return err
	}
	return apierrors.NewInternalError(err)
}
