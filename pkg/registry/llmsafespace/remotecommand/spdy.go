// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package remotecommand

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	protocol "k8s.io/apimachinery/pkg/util/remotecommand"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

var spdyProtocols = []string{protocol.StreamProtocolV4Name}

func checkSPDY(request *http.Request) error {
	if !strings.EqualFold(request.Header.Get(httpstream.HeaderUpgrade), spdy.HeaderSpdy31) {
		return apierrors.NewBadRequest(fmt.Sprintf("upgrade to %q: WebSocket and %s are spoken here", request.Header.Get(httpstream.HeaderUpgrade), spdy.HeaderSpdy31))
	}
	var wanted []string
	for _, value := range request.Header.Values(httpstream.HeaderProtocolVersion) {
		for _, name := range strings.Split(value, ",") {
			wanted = append(wanted, strings.TrimSpace(name))
		}
	}
	if !slices.ContainsFunc(wanted, func(name string) bool { return slices.Contains(spdyProtocols, name) }) {
		return apierrors.NewBadRequest(fmt.Sprintf("none of the protocols %q is spoken here: ask for one of %q in %s", wanted, spdyProtocols, httpstream.HeaderProtocolVersion))
	}
	return nil
}

// spdySession is a session over SPDY: the client makes a stream for each channel.
type spdySession struct {
	conn    httpstream.Connection
	streams map[string]httpstream.Stream
	stdin   io.ReadCloser
	resizes chan Size
	gone    chan struct{}
}

func acceptSPDY(ctx context.Context, w http.ResponseWriter, request *http.Request, options Options) (Session, error) {
	if _, err := httpstream.Handshake(request, w, spdyProtocols); err != nil {
		return nil, err
	}
	type made struct {
		httpstream.Stream
		replied <-chan struct{}
	}
	wanted := wantedStreams(options)
	arrived := make(chan made, len(wanted))
	conn := spdy.NewResponseUpgrader().UpgradeResponse(w, request, func(stream httpstream.Stream, replied <-chan struct{}) error {
		select {
		case arrived <- made{stream, replied}:
			return nil
		default:
			return errors.New("more streams than were asked for")
		}
	})
	if conn == nil {
		return nil, errors.New("the connection could not be upgraded")
	}
	s := &spdySession{conn: conn, streams: map[string]httpstream.Stream{}, gone: make(chan struct{})}
	ctx, cancel := context.WithTimeout(ctx, protocol.DefaultStreamCreationTimeout)
	defer cancel()
	for len(s.streams) < len(wanted) {
		select {
		case stream := <-arrived:
			kind := stream.Headers().Get(corev1.StreamType)
			if !slices.Contains(wanted, kind) || s.streams[kind] != nil {
				conn.Close()
				return nil, fmt.Errorf("a stream of type %q that was not asked for", kind)
			}
			s.streams[kind] = stream
			// What is written to a stream goes after the reply that accepts it.
			select {
			case <-stream.replied:
			case <-ctx.Done():
			}
		case <-conn.CloseChan():
			return nil, errors.New("the client went away before it had made its streams")
		case <-ctx.Done():
			conn.Close()
			return nil, errors.New("the client did not make its streams in time")
		}
	}
	go func() {
		<-conn.CloseChan()
		close(s.gone)
	}()
	if stream := s.streams[corev1.StreamTypeStdin]; stream != nil {
		s.stdin = &discarded{stream: stream}
	}
	if stream := s.streams[corev1.StreamTypeResize]; stream != nil {
		s.resizes = make(chan Size, 1)
		go resize(stream, s.resizes)
	}
	return s, nil
}

func wantedStreams(options Options) []string {
	wanted := []string{corev1.StreamTypeError}
	for _, stream := range []struct {
		wanted bool
		kind   string
	}{
		{options.Stdin, corev1.StreamTypeStdin},
		{options.Stdout, corev1.StreamTypeStdout},
		{options.Stderr, corev1.StreamTypeStderr},
		{options.TTY, corev1.StreamTypeResize},
	} {
		if stream.wanted {
			wanted = append(wanted, stream.kind)
		}
	}
	return wanted
}

// discarded is a stream whose closing throws away what still comes. To reset
// it instead would be an error on the client's side. A stream has one reader:
// that one closes it.
type discarded struct {
	stream httpstream.Stream
	closed sync.Once
}

func (d *discarded) Read(p []byte) (int, error) { return d.stream.Read(p) }

func (d *discarded) Close() error {
	d.closed.Do(func() {
		go io.Copy(io.Discard, d.stream) // ends with the connection
	})
	return nil
}

func resize(stream io.Reader, resizes chan Size) {
	decoder := json.NewDecoder(stream)
	for {
		var size Size
		if decoder.Decode(&size) != nil {
			return
		}
		replace(resizes, size)
	}
}

// Stdin implements Session.
func (s *spdySession) Stdin() io.ReadCloser { return s.stdin }

// Resizes implements Session.
func (s *spdySession) Resizes() <-chan Size { return s.resizes }

// Gone implements Session.
func (s *spdySession) Gone() <-chan struct{} { return s.gone }

// Write implements Session.
func (s *spdySession) Write(stream Stream, data []byte) error {
	kind := corev1.StreamTypeStdout
	if stream == Stderr {
		kind = corev1.StreamTypeStderr
	}
	to := s.streams[kind]
	if to == nil {
		return nil // not asked for
	}
	_, err := to.Write(data)
	return err
}

// Finish implements Session.
func (s *spdySession) Finish(status metav1.Status) {
	defer s.conn.Close()
	over := time.AfterFunc(farewell, func() { s.conn.Close() })
	defer over.Stop()
	last := s.streams[corev1.StreamTypeError]
	if _, err := last.Write(encode(status)); err != nil {
		return
	}
	for _, kind := range []string{corev1.StreamTypeStdout, corev1.StreamTypeStderr, corev1.StreamTypeError} {
		if stream := s.streams[kind]; stream != nil {
			stream.Close()
		}
	}
	<-s.gone
}
