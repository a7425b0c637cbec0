// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package remotecommand

import (
	"context"
	"io"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/streaming/pkg/httpstream"
)

// Stream is an output of a command.
type Stream byte

// The numbers are the protocol's.
const (
	Stdout Stream = 1
	Stderr Stream = 2
)

// Size of a terminal.
type Size struct{ Width, Height uint16 }

// Session is a client that waits for what its command does.
type Session interface {
	// Stdin is what the client sends, nil if it sends none. Its reader closes
	// it, which throws away what still comes.
	Stdin() io.ReadCloser
	// Resizes has the sizes of the client's terminal, nil if it has none. The
	// newest counts.
	Resizes() <-chan Size
	// Write sends output; it blocks while the client does not read. It must
	// not be called concurrently, and keeps nothing of data.
	Write(stream Stream, data []byte) error
	// Gone is closed when the client has gone away.
	Gone() <-chan struct{}
	// Finish sends the end of the command and closes the session. Nothing may
	// be called after it.
	Finish(status metav1.Status)
}

// farewell is how long a client may take to close a session that is over.
const farewell = 5 * time.Second

// Check answers nil if a request can be upgraded, or the error to answer it
// with. Who passes it is upgraded by Accept.
func Check(request *http.Request) error {
	if !httpstream.IsUpgradeRequest(request) {
		return apierrors.NewBadRequest("exec needs an upgrade of the connection: to WebSocket (v5.channel.k8s.io or v4.channel.k8s.io) or SPDY/3.1")
	}
	if isWebSocket(request) {
		return checkWebSocket(request)
	}
	return checkSPDY(request)
}

// Accept upgrades the connection. If that fails, the client has been told.
func Accept(ctx context.Context, w http.ResponseWriter, request *http.Request, options Options) (Session, error) {
	if isWebSocket(request) {
		return acceptWebSocket(w, request, options)
	}
	return acceptSPDY(ctx, w, request, options)
}
