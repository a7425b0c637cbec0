// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxes_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"

	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	"safebeam.dev/safebeam/pkg/sandboxd/carriage"
	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// hostile is a sandboxd that says what it likes.
type hostile struct {
	sandboxpb.UnimplementedProcessesServer
	run  func(sandboxpb.Processes_RunServer) error
	info *sandboxpb.FileInfo
	list []*sandboxpb.ListResponse
	read []*sandboxpb.ReadResponse
}

func (h *hostile) Run(s sandboxpb.Processes_RunServer) error { return h.run(s) }

// hostileFiles is its other service.
type hostileFiles struct {
	sandboxpb.UnimplementedFilesServer
	*hostile
}

func (h hostileFiles) Stat(context.Context, *sandboxpb.StatRequest) (*sandboxpb.FileInfo, error) {
	return h.info, nil
}
func (h hostileFiles) List(_ *sandboxpb.ListRequest, s sandboxpb.Files_ListServer) error {
	for _, r := range h.list {
		if err := s.Send(r); err != nil {
			return err
		}
	}
	return nil
}
func (h hostileFiles) Read(_ *sandboxpb.ReadRequest, s sandboxpb.Files_ReadServer) error {
	for _, r := range h.read {
		if err := s.Send(r); err != nil {
			return err
		}
	}
	return nil
}

func (h *hostile) connect(t testing.TB, g *gateway) *sandboxes.Sandbox {
	t.Helper()
	g.allow("token", "pod")
	conn, _ := g.hello(t, "token", 1)
	server := grpc.NewServer(grpc.MaxSendMsgSize(1 << 30))
	sandboxpb.RegisterProcessesServer(server, h)
	sandboxpb.RegisterFilesServer(server, hostileFiles{hostile: h})
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() { carriage.Serve(ctx, server, conn); close(served) }()
	t.Cleanup(func() { cancel(); server.Stop(); <-served })
	return g.Sandbox("pod")
}

func started() *sandboxpb.RunResponse {
	return &sandboxpb.RunResponse{Response: &sandboxpb.RunResponse_Started{Started: &sandboxpb.Started{}}}
}

func chunk(number uint64, stream sandboxpb.OutputStream, data string) *sandboxpb.RunResponse {
	return &sandboxpb.RunResponse{Response: &sandboxpb.RunResponse_Output{Output: &sandboxpb.Output{Number: number, Stream: stream, Data: []byte(data)}}}
}

func TestNonsenseOfSandboxdEndsItsConnectionAndIsReported(t *testing.T) {
	t.Parallel()
	const stdout = sandboxpb.OutputStream_STDOUT
	for name, responses := range map[string][]*sandboxpb.RunResponse{
		"output before the start":    {chunk(1, stdout, "x")},
		"two starts":                 {started(), started()},
		"a start that was none":      {started(), {Response: &sandboxpb.RunResponse_NotStarted{NotStarted: &sandboxpb.NotStarted{}}}},
		"a chunk left out":           {started(), chunk(1, stdout, "x"), chunk(3, stdout, "x")},
		"a chunk twice":              {started(), chunk(1, stdout, "x"), chunk(1, stdout, "x")},
		"a chunk of no stream":       {started(), chunk(1, 7, "x")},
		"an empty chunk":             {started(), chunk(1, stdout, "")},
		"more than the cap":          {started(), chunk(1, stdout, "0123456789abcdef0")},
		"stdin that was never sent":  {started(), {Response: &sandboxpb.RunResponse_StdinAck{StdinAck: &sandboxpb.StdinAck{Offset: 1 << 40}}}},
		"stdin that is there before": {{Response: &sandboxpb.RunResponse_Started{Started: &sandboxpb.Started{StdinReceived: 1 << 40}}}},
		"nothing at all":             {started(), {}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t)
			h := &hostile{run: func(s sandboxpb.Processes_RunServer) error {
				for _, r := range responses {
					if err := s.Send(r); err != nil {
						return err
					}
				}
				<-s.Context().Done()
				return nil
			}}
			c := sh("true")
			c.Output = sandboxes.OutputPolicy{Capped: true, Head: 8, Tail: 8}
			in, _ := io.Pipe()
			_, err := h.connect(t, g).Run(context.Background(), c, sandboxes.Streams{Stdin: in})
			if !errors.Is(err, sandboxes.ErrMisbehaved) {
				t.Errorf("got %v", err)
			}
			g.events.expect(t, "misbehaved pod")
			g.events.expect(t, "disconnected pod")
		})
	}
}

func TestAMessageThatIsTooLargeIsNotTaken(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	h := &hostile{run: func(s sandboxpb.Processes_RunServer) error {
		s.Send(started())
		s.Send(chunk(1, sandboxpb.OutputStream_STDOUT, string(make([]byte, 100<<20))))
		<-s.Context().Done()
		return nil
	}}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err := h.connect(t, g).Run(ctx, sh("true"), sandboxes.Streams{})
	if err == nil || ctx.Err() != nil {
		t.Errorf("got %v", err)
	}
}

func TestAnExitIsTakenFromASandboxdThatListensNoMore(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	h := &hostile{run: func(s sandboxpb.Processes_RunServer) error {
		s.Send(started())
		s.Send(&sandboxpb.RunResponse{Response: &sandboxpb.RunResponse_Exited{Exited: &sandboxpb.Exited{ExitCode: 4}}})
		<-s.Context().Done() // never reads
		return nil
	}}
	exit, err := h.connect(t, g).Run(context.Background(), sh("true"), sandboxes.Streams{Stdin: endless{}})
	if err != nil || exit.Code != 4 {
		t.Errorf("exit %+v, %v", exit, err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestFilesThatWereNotAskedForAreRefused(t *testing.T) {
	t.Parallel()
	entries := func(names ...string) []*sandboxpb.ListResponse {
		r := &sandboxpb.ListResponse{}
		for _, n := range names {
			r.Entries = append(r.Entries, &sandboxpb.FileInfo{Name: []byte(n)})
		}
		return []*sandboxpb.ListResponse{r}
	}
	ctx := context.Background()
	list := func(sb *sandboxes.Sandbox) error { _, _, err := sb.List(ctx, "/x", "", 2); return err }
	read := func(sb *sandboxes.Sandbox) error {
		_, r, err := sb.Read(ctx, "/x", 0, 10)
		if err == nil {
			defer r.Close()
			_, err = io.Copy(io.Discard, r)
		}
		return err
	}
	stat := func(sb *sandboxes.Sandbox) error { _, err := sb.Stat(ctx, "/x"); return err }
	file := &sandboxpb.FileInfo{Name: []byte("x"), Size: 100}
	for name, c := range map[string]struct {
		h    hostile
		call func(*sandboxes.Sandbox) error
	}{
		"a path for a name":     {hostile{list: entries("../../etc/passwd")}, list},
		"the parent for a name": {hostile{list: entries("..")}, list},
		"no name":               {hostile{list: entries("")}, list},
		"unsorted entries":      {hostile{list: entries("b", "a")}, list},
		"too many entries":      {hostile{list: entries("a", "b", "c")}, list},
		"a stat of a path":      {hostile{info: &sandboxpb.FileInfo{Name: []byte("a/b")}}, stat},
		"more than the range":   {hostile{read: []*sandboxpb.ReadResponse{{Info: file, Data: make([]byte, 11)}}}, read},
		"more, later":           {hostile{read: []*sandboxpb.ReadResponse{{Info: file, Data: make([]byte, 9)}, {Data: make([]byte, 2)}}}, read},
		"no info":               {hostile{read: []*sandboxpb.ReadResponse{{Data: make([]byte, 1)}}}, read},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := c.call(c.h.connect(t, newGateway(t))); !errors.Is(err, sandboxes.ErrMisbehaved) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("less than the range is an error", func(t *testing.T) {
		h := hostile{read: []*sandboxpb.ReadResponse{{Info: file, Data: make([]byte, 9)}}}
		if err := read(h.connect(t, newGateway(t))); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v", err)
		}
	})
}

// unthrottled serves without the bound on how often one address may knock.
func (g *gateway) unthrottled(f *testing.F) {
	l, err := tls.Listen("unix", filepath.Join(f.TempDir(), "s"), &tls.Config{Certificates: []tls.Certificate{g.serving}, NextProtos: []string{carriage.Protocol}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { l.Close() })
	g.address = "unix:" + l.Addr().String()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go g.Greet(context.Background(), conn.(*tls.Conn))
		}
	}()
}

// FuzzHello is what anybody may say to the gateway's port.
func FuzzHello(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1})
	var b bytes.Buffer
	carriage.WriteMessage(&b, &sandboxpb.Hello{Token: "made up", Instance: make([]byte, carriage.InstanceBytes)})
	f.Add(b.Bytes())
	g := newGateway(f)
	g.unthrottled(f)
	f.Fuzz(func(t *testing.T, said []byte) {
		conn := g.dial(t)
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		var answer []byte
		_, err := conn.Write(said)
		if err == nil {
			conn.CloseWrite()
			answer, err = io.ReadAll(conn)
		}
		// It may as well be cut off.
		if err == nil && len(answer) > 0 {
			welcome := &sandboxpb.Welcome{}
			if err := carriage.ReadMessage(bytes.NewReader(answer), welcome); err != nil || welcome.Verdict == sandboxpb.Welcome_ACCEPTED {
				t.Fatalf("%q is answered by %v, %v", said, welcome, err)
			}
		}
		if len(g.Connected()) != 0 {
			t.Fatalf("%q is connected", said)
		}
	})
}

// FuzzHTTP2 is what a sandboxd may say once it is let in: bytes in place of HTTP/2.
// The gateway's call must come to an end, and the next sandbox be served.
func FuzzHTTP2(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00"))                                                                     // SETTINGS
	f.Add([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x01\xff\xff\xff\xff"))                 // DATA of a stream
	f.Add([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x08\x06\x00\x00\x00\x00\x00\x01\x02\x03\x04\x05\x06\x07\x08")) // PING
	f.Add([]byte("\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02"))                                     // GOAWAY
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\n"))
	g := newGateway(f)
	g.unthrottled(f)
	g.allow("token", "pod")
	f.Fuzz(func(t *testing.T, said []byte) {
		conn, welcome := g.hello(t, "token", 1)
		if welcome.Verdict != sandboxpb.Welcome_ACCEPTED {
			t.Fatal(welcome)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		go func() {
			conn.Write(said)
			conn.CloseWrite()
			io.Copy(io.Discard, conn)
		}()
		if _, err := g.Sandbox("pod").Health(ctx); err == nil {
			t.Fatalf("%q is a healthy sandbox", said)
		}
	drain:
		for {
			select {
			case <-g.events.ch:
			default:
				break drain
			}
		}
	})
}
