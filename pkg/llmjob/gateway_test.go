// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package llmjob

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	tightbeampb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// gateway is the job's side of a gateway, over real gRPC and TLS: it hands out
// turns, keeps what it received durable across its own restarts, and misbehaves
// on demand.
type gateway struct {
	tightbeampb.UnimplementedTightbeamControllerServer
	t    testing.TB
	dir  string
	cert tls.Certificate
	addr string

	turns chan *tightbeampb.TurnAssignment

	// onChunk decides about each chunk as it comes in; nil means keep and
	// acknowledge. n counts the chunks of this connection from 1.
	onChunk func(key string, n int, c *tightbeampb.TurnResultChunk) verdict
	// onOpen may refuse a stream.
	onOpen func(key string) error
	// onGetTurn may fail a call.
	onGetTurn func() error
	header    bool // tell the last durable chunk

	mu      sync.Mutex
	changed chan struct{}
	durable map[string][]*tightbeampb.TurnResultChunk
	opens   map[string]int
	auth    []string
	faults  []string
	server  *grpc.Server
}

type verdict int

const (
	keep      verdict = iota // durable and acknowledged
	keepQuiet                // durable, the acknowledgement gets lost
	lose                     // neither; what follows on this connection is lost too
	breakOff                 // the connection ends with Unavailable
	cancelIt                 // the attempt is over
)

func newGateway(t testing.TB) *gateway {
	t.Helper()
	g := &gateway{t: t, dir: t.TempDir(), header: true, turns: make(chan *tightbeampb.TurnAssignment, 64),
		durable: map[string][]*tightbeampb.TurnResultChunk{}, opens: map[string]int{}, changed: make(chan struct{})}
	g.makeCertificate()
	g.start("127.0.0.1:0")
	t.Cleanup(func() {
		g.stop()
		for _, f := range g.faults {
			t.Errorf("the job broke the contract: %s", f)
		}
	})
	return g
}

func (g *gateway) makeCertificate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		g.t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gateway"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"gateway.test"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		g.t.Fatal(err)
	}
	g.cert = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	g.write("ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	g.write("token", "token-1\n")
}

func (g *gateway) write(name, content string) string {
	path := filepath.Join(g.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		g.t.Fatal(err)
	}
	return path
}

func (g *gateway) start(addr string) {
	lis, err := net.Listen("tcp", addr)
	if err != nil {
		g.t.Fatal(err)
	}
	g.addr = lis.Addr().String()
	s := grpc.NewServer(
		grpc.Creds(credentials.NewServerTLSFromCert(&g.cert)),
		grpc.MaxRecvMsgSize(MaxMessageSize), grpc.MaxSendMsgSize(MaxMessageSize),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: KeepaliveTime / 2, PermitWithoutStream: true}))
	tightbeampb.RegisterTightbeamControllerServer(s, g)
	g.mu.Lock()
	g.server = s
	g.mu.Unlock()
	go func() { _ = s.Serve(lis) }()
}

// stop is a kill: connections break, nothing is said.
func (g *gateway) stop() {
	g.mu.Lock()
	s := g.server
	g.mu.Unlock()
	s.Stop()
}

func (g *gateway) restart() {
	g.stop()
	g.start(g.addr)
}

func (g *gateway) fault(format string, args ...any) {
	g.faults = append(g.faults, fmt.Sprintf(format, args...))
}

func (g *gateway) GetTurn(ctx context.Context, req *tightbeampb.GetTurnRequest) (*tightbeampb.TurnAssignment, error) {
	g.note(ctx)
	if g.onGetTurn != nil {
		if err := g.onGetTurn(); err != nil {
			return nil, err
		}
	}
	if req.GetModelName() != "m" || req.GetJobId() != "job-1" {
		return nil, status.Errorf(codes.InvalidArgument, "job %q asks for model %q", req.GetJobId(), req.GetModelName())
	}
	select {
	case a := <-g.turns:
		return a, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

func (g *gateway) note(ctx context.Context) {
	md, _ := metadata.FromIncomingContext(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.auth = append(g.auth, md.Get("authorization")...)
}

func (g *gateway) StreamTurnResultAcked(s grpc.BidiStreamingServer[tightbeampb.TurnResultChunk, tightbeampb.TurnAck]) error {
	g.note(s.Context())
	md, _ := metadata.FromIncomingContext(s.Context())
	if len(md.Get(MetadataTurnUID)) != 1 || len(md.Get(MetadataAttempt)) != 1 {
		return status.Error(codes.InvalidArgument, "turn and attempt are missing")
	}
	key := md.Get(MetadataTurnUID)[0] + "/" + md.Get(MetadataAttempt)[0]
	g.mu.Lock()
	g.opens[key]++
	received := int64(len(g.durable[key]))
	g.mu.Unlock()
	if g.onOpen != nil {
		if err := g.onOpen(key); err != nil {
			return err
		}
	}
	if g.header {
		if err := s.SendHeader(metadata.Pairs(MetadataReceived, strconv.FormatInt(received, 10))); err != nil {
			return err
		}
	}
	lost := false
	for n := 1; ; n++ {
		c, err := s.Recv()
		if err != nil {
			return nil // the end of the stream, or of the connection
		}
		v := keep
		if g.onChunk != nil {
			v = g.onChunk(key, n, c)
		}
		if lost && v != breakOff {
			if terminal(c) {
				return status.Error(codes.Unavailable, "the tail got lost")
			}
			continue
		}
		switch v {
		case keep, keepQuiet:
			at := g.keep(key, c)
			if v == keepQuiet {
				continue
			}
			if err := s.Send(&tightbeampb.TurnAck{Received: at}); err != nil {
				return err
			}
		case lose:
			if lost = true; terminal(c) {
				return status.Error(codes.Unavailable, "the tail got lost")
			}
		case breakOff:
			return status.Error(codes.Unavailable, "broken off")
		case cancelIt:
			return s.Send(&tightbeampb.TurnAck{Received: g.keep(key, c), Cancel: true})
		}
	}
}

// keep makes a chunk durable, and holds the job to its numbers.
func (g *gateway) keep(key string, c *tightbeampb.TurnResultChunk) int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	have := g.durable[key]
	switch n := c.GetSequence(); {
	case n == int64(len(have))+1:
		if len(have) > 0 && terminal(have[len(have)-1]) {
			g.fault("%s: chunk %d follows the terminal one", key, n)
		}
		g.durable[key] = append(have, c)
		close(g.changed)
		g.changed = make(chan struct{})
	case n < 1 || n > int64(len(have)):
		g.fault("%s: chunk %d comes after %d", key, n, len(have))
	case !proto.Equal(have[n-1], c):
		g.fault("%s: number %d names two chunks", key, n)
	}
	return int64(len(g.durable[key]))
}

func terminal(c *tightbeampb.TurnResultChunk) bool {
	return c.GetComplete() != nil || c.GetError() != nil
}

// wait returns the chunks of an attempt once enough says so.
func (g *gateway) wait(key string, enough func([]*tightbeampb.TurnResultChunk) bool) []*tightbeampb.TurnResultChunk {
	g.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		g.mu.Lock()
		have, changed := g.durable[key], g.changed
		g.mu.Unlock()
		if enough(have) {
			return have
		}
		select {
		case <-changed:
		case <-deadline:
			g.t.Fatalf("%s: waited in vain, have %d chunks", key, len(have))
		}
	}
}

func (g *gateway) waitTerminal(key string) []*tightbeampb.TurnResultChunk {
	g.t.Helper()
	return g.wait(key, func(cs []*tightbeampb.TurnResultChunk) bool { return len(cs) > 0 && terminal(cs[len(cs)-1]) })
}

func (g *gateway) opened(key string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.opens[key]
}

// text is what a reader of the deltas would see.
func text(cs []*tightbeampb.TurnResultChunk) string {
	var s string
	for _, c := range cs {
		s += c.GetContentDelta().GetText()
	}
	return s
}

func turn(uid, text, parameters string) *tightbeampb.TurnAssignment {
	return &tightbeampb.TurnAssignment{
		TurnUid: uid, Attempt: 1, Namespace: "ns", Turn: uid, Conversation: "c",
		Messages: []*tightbeampb.Message{{Role: "user", Content: []*tightbeampb.ContentBlock{
			{Block: &tightbeampb.ContentBlock_Text{Text: &tightbeampb.TextBlock{Text: text}}}}}},
		ModelConfig: &tightbeampb.ModelConfig{Provider: "echo", Model: "echo", MaxTokens: 100000, ParametersJson: parameters},
	}
}
