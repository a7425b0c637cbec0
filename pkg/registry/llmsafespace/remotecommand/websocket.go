// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package remotecommand

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	protocol "k8s.io/apimachinery/pkg/util/remotecommand"
)

var webSocketProtocols = []string{protocol.StreamProtocolV5Name, protocol.StreamProtocolV4Name}

const (
	// pieceBytes is how much is written or read at a time; it is also the room
	// for output that a session takes while it writes.
	pieceBytes = 32 << 10
	// maxResize is far more than a size takes.
	maxResize = 1 << 10
	// heartbeat is sent to a client whose own heartbeats cannot be heard since
	// its stdin waits. client-go gives up after 61 seconds without one.
	heartbeat = 5 * time.Second
)

// upgrader accepts every origin, as kube-apiserver does: what a browser brings
// along by itself is no credential here.
var upgrader = websocket.Upgrader{
	HandshakeTimeout: 30 * time.Second,
	Subprotocols:     webSocketProtocols,
	ReadBufferSize:   4 << 10, // frames of stdin larger than that are read past it
	WriteBufferSize:  pieceBytes + 64,
	WriteBufferPool:  &sync.Pool{},
	CheckOrigin:      func(*http.Request) bool { return true },
}

func isWebSocket(request *http.Request) bool { return websocket.IsWebSocketUpgrade(request) }

func checkWebSocket(request *http.Request) error {
	if request.Method != http.MethodGet {
		return apierrors.NewBadRequest("a WebSocket is asked for with GET")
	}
	for _, wanted := range websocket.Subprotocols(request) {
		if slices.Contains(webSocketProtocols, wanted) {
			return nil
		}
	}
	return apierrors.NewBadRequest(fmt.Sprintf("none of the WebSocket protocols %q is spoken here: ask for one of %q", websocket.Subprotocols(request), webSocketProtocols))
}

// webSocket is a session over a WebSocket.
type webSocket struct {
	conn      *websocket.Conn
	halfClose bool // v5
	stdin     *stdin
	resizes   chan Size
	gone      chan struct{} // closed when nothing is read any more
}

func acceptWebSocket(w http.ResponseWriter, request *http.Request, options Options) (Session, error) {
	conn, err := upgrader.Upgrade(w, request, nil)
	if err != nil {
		return nil, err
	}
	s := &webSocket{conn: conn, halfClose: conn.Subprotocol() == protocol.StreamProtocolV5Name, gone: make(chan struct{})}
	if options.Stdin {
		s.stdin = newStdin()
	}
	if options.TTY {
		s.resizes = make(chan Size, 1)
	}
	go s.listen()
	return s, nil
}

// Stdin implements Session.
func (s *webSocket) Stdin() io.ReadCloser {
	if s.stdin == nil {
		return nil
	}
	return s.stdin
}

// Resizes implements Session.
func (s *webSocket) Resizes() <-chan Size { return s.resizes }

// Gone implements Session.
func (s *webSocket) Gone() <-chan struct{} { return s.gone }

// Write implements Session.
func (s *webSocket) Write(stream Stream, data []byte) error {
	for len(data) > 0 {
		piece := data[:min(len(data), pieceBytes)]
		if err := s.message(byte(stream), piece); err != nil {
			return err
		}
		data = data[len(piece):]
	}
	return nil
}

func (s *webSocket) message(channel byte, data []byte) error {
	w, err := s.conn.NextWriter(websocket.BinaryMessage)
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte{channel}); err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	return w.Close()
}

// Finish implements Session.
func (s *webSocket) Finish(status metav1.Status) {
	if s.stdin != nil {
		s.stdin.Close()
	}
	defer s.conn.Close()
	deadline := time.Now().Add(farewell)
	s.conn.SetWriteDeadline(deadline)
	if s.message(protocol.StreamErr, encode(status)) != nil {
		return
	}
	if s.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), deadline) != nil {
		return
	}
	// To close a connection on which something has arrived that was not read
	// takes back what the client has not read yet.
	s.conn.SetReadDeadline(deadline)
	<-s.gone
}

// listen reads what the client sends until it has gone or the session is over.
func (s *webSocket) listen() {
	defer close(s.gone)
	if s.stdin != nil {
		defer s.stdin.end()
	}
	buffer := make([]byte, pieceBytes)
	for {
		kind, message, err := s.conn.NextReader()
		if err != nil {
			return
		}
		if err := s.hear(kind, message, buffer); err != nil {
			return
		}
	}
}

var errProtocol = errors.New("the client does not keep to the protocol")

// hear takes one message.
func (s *webSocket) hear(kind int, message io.Reader, buffer []byte) error {
	n, err := message.Read(buffer)
	if n == 0 {
		if err == nil || err == io.EOF {
			return nil // an empty message
		}
		return err
	}
	if kind != websocket.BinaryMessage {
		return errProtocol
	}
	channel, data := buffer[0], buffer[1:n]
	switch {
	case channel == protocol.StreamStdIn && s.stdin != nil:
		return s.hearStdin(data, message, buffer)
	case channel == protocol.StreamResize && s.resizes != nil:
		return s.hearResize(data, message)
	case channel == protocol.StreamClose && s.halfClose:
		if len(data) == 1 && data[0] == protocol.StreamStdIn && s.stdin != nil {
			s.stdin.end()
		}
		return nil
	}
	return nil // of a channel that was not asked for
}

func (s *webSocket) hearStdin(data []byte, message io.Reader, buffer []byte) error {
	for {
		if err := s.stdin.put(data, heartbeat, s.beat); err != nil {
			return err
		}
		n, err := message.Read(buffer)
		data = buffer[:n]
		if err == io.EOF && n == 0 {
			return nil
		}
		if err != nil && err != io.EOF {
			return err
		}
	}
}

// beat says that the server is there. A pong need not be asked for.
func (s *webSocket) beat() error {
	err := s.conn.WriteControl(websocket.PongMessage, nil, time.Now().Add(heartbeat))
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return nil // output is being written: the client hears of us by that
	}
	return err
}

func (s *webSocket) hearResize(data []byte, message io.Reader) error {
	rest, err := io.ReadAll(io.LimitReader(message, maxResize))
	if err != nil {
		return err
	}
	var size Size
	if json.Unmarshal(append(slices.Clone(data), rest...), &size) == nil {
		replace(s.resizes, size)
	}
	return nil
}

// replace puts the newest size in the place of one that nobody has taken. There
// is one writer.
func replace(resizes chan Size, size Size) {
	select {
	case <-resizes:
	default:
	}
	resizes <- size
}
