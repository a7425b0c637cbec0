// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/apiserver/options"
	"safebeam.dev/safebeam/pkg/apiserver/servertest"
	"safebeam.dev/safebeam/pkg/gateway"
	"safebeam.dev/safebeam/pkg/gateway/channels"
	"safebeam.dev/safebeam/pkg/gateway/turns"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

const patience = 20 * time.Second

// rig is a gateway on a real API server, behind real TLS.
type rig struct {
	t       *testing.T
	server  *servertest.Server
	tokens  *gateway.Tokens
	address string
	grpc    *gateway.Server
	stop    func()
}

// users are the tokens of people: the token is the name.
type users struct{}

func (users) AuthenticateToken(_ context.Context, token string) (*authenticator.Response, bool, error) {
	switch token {
	case "admin":
		return &authenticator.Response{User: &user.DefaultInfo{Name: "admin", Groups: []string{user.SystemPrivilegedGroup}}}, true, nil
	case "agent":
		return &authenticator.Response{User: &user.DefaultInfo{
			Name: "system:serviceaccount:team:agent", Groups: []string{user.SystemPrivilegedGroup},
		}}, true, nil
	}
	return nil, false, nil
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, tokens: gateway.NewTokens()}
	r.server = servertest.Start(t, servertest.Settings{Options: func(o *options.Options) {}})
	clients := r.server.Clients()
	hub, err := channels.New(clients)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := r.server.Opened.Authority.Issue("gateway", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	r.grpc = gateway.New(gateway.Options{
		Broker: r.server.Storages.Broker, Jobs: r.tokens, Users: users{},
		API: gateway.NewAPI(clients.TightbeamV1().RESTClient()), Channels: hub,
		TLS: &tls.Config{GetCertificate: certificate.GetCertificate, MinVersion: tls.VersionTLS12},
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.address = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- hub.Run(ctx) }()
	go func() { ended <- r.grpc.Serve(ctx, listener) }()
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Errorf("serving: %v", err)
			}
		}
	}
	t.Cleanup(r.stop)
	r.model("default", "echo")
	return r
}

func (r *rig) model(namespace, name string) {
	r.t.Helper()
	_, err := r.server.Clients().TightbeamV1().TightbeamModels(namespace).Create(context.Background(), &tightbeamv1.TightbeamModel{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       tightbeamv1.TightbeamModelSpec{Provider: tightbeamv1.ProviderEcho, Model: "echo-1", Description: "says it again"},
	}, metav1.CreateOptions{})
	if err != nil {
		r.t.Fatal(err)
	}
}

// client is a caller with a token, "" for none.
func (r *rig) client(token string) pb.TightbeamControllerClient {
	r.t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(r.server.Opened.Authority.Bundle())
	creds := credentials.NewTLS(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})
	options := []grpc.DialOption{grpc.WithTransportCredentials(creds)}
	if token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(token)))
	}
	return dial(r.t, r.address, options...)
}

func dial(t *testing.T, address string, options ...grpc.DialOption) pb.TightbeamControllerClient {
	t.Helper()
	conn, err := grpc.NewClient(address, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return pb.NewTightbeamControllerClient(conn)
}

type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}
func (bearer) RequireTransportSecurity() bool { return true }

// job is the client of a job of a model.
func (r *rig) job(namespace, model string) pb.TightbeamControllerClient {
	token, revoke := r.tokens.Issue(gateway.Identity{Role: gateway.RoleLLMJob, Namespace: namespace, Name: model, Job: "job-" + model})
	r.t.Cleanup(revoke)
	return r.client(token)
}

func testContext(t *testing.T, pairs ...string) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, pairs...)
}

// answerOne pulls one turn and answers it as our own jobs do.
func answerOne(t *testing.T, client pb.TightbeamControllerClient, text string) *pb.TurnAssignment {
	t.Helper()
	assignment, err := client.GetTurn(testContext(t), &pb.GetTurnRequest{})
	if err != nil {
		t.Errorf("GetTurn: %v", err)
		return nil
	}
	stream, err := client.StreamTurnResultAcked(testContext(t,
		"safebeam-turn-uid", assignment.GetTurnUid(), "safebeam-attempt", strconv.Itoa(int(assignment.GetAttempt()))))
	if err != nil {
		t.Errorf("stream: %v", err)
		return nil
	}
	for i, chunk := range []*pb.TurnResultChunk{delta(text), complete(text)} {
		chunk.Sequence = int64(i + 1)
		if err := stream.Send(chunk); err != nil {
			t.Errorf("send: %v", err)
		}
	}
	for {
		ack, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return assignment
		}
		if err != nil || ack.GetCancel() {
			t.Errorf("ack %v: %v", ack, err)
			return assignment
		}
	}
}

func delta(text string) *pb.TurnResultChunk {
	return &pb.TurnResultChunk{Chunk: &pb.TurnResultChunk_ContentDelta{ContentDelta: &pb.ContentDelta{Text: text}}}
}

func complete(text string) *pb.TurnResultChunk {
	return &pb.TurnResultChunk{Chunk: &pb.TurnResultChunk_Complete{Complete: &pb.TurnComplete{
		StopReason: pb.StopReason_STOP_REASON_END_TURN, Content: blocks(text),
	}}}
}

func blocks(text string) []*pb.ContentBlock {
	return []*pb.ContentBlock{{Block: &pb.ContentBlock_Text{Text: &pb.TextBlock{Text: text}}}}
}

func ask(text string) *pb.TurnRequest {
	return &pb.TurnRequest{Messages: []*pb.Message{{Role: "user", Content: blocks(text)}}}
}

// readTurn returns the text and the last event of a turn's stream.
func readTurn(t *testing.T, stream grpc.ServerStreamingClient[pb.TurnEvent]) (string, *pb.TurnEvent) {
	t.Helper()
	text := ""
	var last *pb.TurnEvent
	for {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return text, last
		}
		if err != nil {
			t.Fatalf("turn: %v", err)
		}
		text += event.GetContentDelta().GetText()
		last = event
	}
}

func TestATurnOverGRPC(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	agent := r.client("admin")
	ctx := testContext(t, "safebeam-turn", "one")
	stream, err := agent.Turn(ctx, ask("hi"))
	if err != nil {
		t.Fatal(err)
	}
	assignment := answerOne(t, r.job("default", "echo"), "hello")
	if assignment.GetConversation() != "default" || assignment.GetTurn() != "one" || len(assignment.GetMessages()) != 1 {
		t.Errorf("assignment %v", assignment)
	}
	text, last := readTurn(t, stream)
	if text != "hello" || last.GetComplete().GetContent()[0].GetText().GetText() != "hello" {
		t.Errorf("read %q, %v", text, last)
	}
	header, err := stream.Header()
	if err != nil || header.Get("safebeam-turn")[0] != "one" || header.Get("safebeam-conversation")[0] != "default" {
		t.Errorf("header %v, %v", header, err)
	}

	// The same again attaches, from where it is asked to.
	stream, err = agent.Turn(testContext(t, "safebeam-turn", "one", "safebeam-after", "2"), ask("hi"))
	if err != nil {
		t.Fatal(err)
	}
	if text, last := readTurn(t, stream); text != "" || last.GetNumber() != 3 {
		t.Errorf("attached: %q, %v", text, last)
	}
	// Something else under the same name does not.
	stream, err = agent.Turn(testContext(t, "safebeam-turn", "one"), ask("something else"))
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.AlreadyExists {
		t.Errorf("another turn of the same name: %v", err)
	}
}

func TestTheSeedsClientAndJobGoOnWorking(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- r.grpc.ServeInsecure(ctx, listener,
			gateway.Identity{Role: gateway.RoleLLMJob, Namespace: "default"}, &user.DefaultInfo{Name: "seed", Groups: []string{user.SystemPrivilegedGroup}})
	}()
	t.Cleanup(func() { cancel(); <-served })
	client := dial(t, listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	stream, err := client.Turn(testContext(t), ask("hi"))
	if err != nil {
		t.Fatal(err)
	}
	assignment, err := client.GetTurn(testContext(t), &pb.GetTurnRequest{JobId: "j", ModelName: "echo"})
	if err != nil {
		t.Fatal(err)
	}
	if assignment.GetModelConfig().GetProvider() != "echo" {
		t.Errorf("assignment %v", assignment)
	}
	result, err := client.StreamTurnResult(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, chunk := range []*pb.TurnResultChunk{delta("he"), delta("llo"), complete("hello")} {
		if err := result.Send(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := result.CloseAndRecv(); err != nil {
		t.Fatal(err)
	}
	if text, last := readTurn(t, stream); text != "hello" || last.GetComplete().GetStopReason() != pb.StopReason_STOP_REASON_END_TURN {
		t.Errorf("read %q, %v", text, last)
	}
}

func TestWhoMayNotIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.model("default", "other")
	turnError := func(client pb.TightbeamControllerClient, request *pb.TurnRequest, pairs ...string) error {
		stream, err := client.Turn(testContext(t, pairs...), request)
		if err == nil {
			_, err = stream.Recv()
		}
		return err
	}
	getTurn := func(client pb.TightbeamControllerClient, model string) error {
		_, err := client.GetTurn(testContext(t), &pb.GetTurnRequest{JobId: "x", ModelName: model})
		return err
	}
	job := r.job("default", "echo")
	channelToken, _ := r.tokens.Issue(gateway.Identity{Role: gateway.RoleChannel, Namespace: "default", Name: "c"})
	revoked, revoke := r.tokens.Issue(gateway.Identity{Role: gateway.RoleLLMJob, Namespace: "default", Name: "echo"})
	revoke()
	models := func(client pb.TightbeamControllerClient) error {
		_, err := client.ListModels(testContext(t), &pb.ListModelsRequest{})
		return err
	}
	for name, c := range map[string]struct {
		err  error
		code codes.Code
	}{
		"no token":                        {turnError(r.client(""), ask("hi")), codes.Unauthenticated},
		"a wrong token":                   {getTurn(r.client("nonsense"), "echo"), codes.Unauthenticated},
		"a revoked token":                 {getTurn(r.client(revoked), "echo"), codes.Unauthenticated},
		"a job that asks":                 {turnError(job, ask("hi")), codes.PermissionDenied},
		"a job that lists models":         {models(job), codes.PermissionDenied},
		"an agent that pulls":             {getTurn(r.client("admin"), "echo"), codes.PermissionDenied},
		"a job of another model":          {getTurn(job, "other"), codes.PermissionDenied},
		"a channel's job that pulls":      {getTurn(r.client(channelToken), "echo"), codes.PermissionDenied},
		"an unknown conversation":         {turnError(r.client("admin"), ask("hi"), "safebeam-conversation", "nope"), codes.InvalidArgument},
		"no messages":                     {turnError(r.client("admin"), &pb.TurnRequest{}), codes.InvalidArgument},
		"a cursor that is none":           {turnError(r.client("admin"), ask("hi"), "safebeam-after", "x"), codes.InvalidArgument},
		"an input that is no JSON object": {turnError(r.client("admin"), &pb.TurnRequest{Tools: []*pb.ToolDefinition{{Name: "a", ParametersJson: "["}}}), codes.InvalidArgument},
	} {
		if status.Code(c.err) != c.code {
			t.Errorf("%s: got %v, want %s", name, c.err, c.code)
		}
	}
	// A job of another namespace with a model of the same name gets nothing.
	if _, err := r.server.Clients().TightbeamV1().Conversations("default").Create(context.Background(), &tightbeamv1.Conversation{
		ObjectMeta: metav1.ObjectMeta{Name: "c"}, Spec: tightbeamv1.ConversationSpec{Model: "echo"},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	stream, err := r.client("admin").Turn(testContext(t, "safebeam-conversation", "c"), ask("hi"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Header(); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := r.job("elsewhere", "echo").GetTurn(short, &pb.GetTurnRequest{}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a job of another namespace: %v", err)
	}
	// Nor may a job of another model answer it.
	assignment, err := job.GetTurn(testContext(t), &pb.GetTurnRequest{})
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := r.job("default", "other").StreamTurnResultAcked(testContext(t, "safebeam-turn-uid", assignment.GetTurnUid(), "safebeam-attempt", "1"))
	if err == nil {
		_, err = foreign.Recv()
	}
	if status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a job of another model answers: %v", err)
	}
}

func TestListModelsIsOfTheCallersNamespace(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.model("team", "theirs")
	for token, want := range map[string]string{"admin": "echo", "agent": "theirs"} {
		models, err := r.client(token).ListModels(testContext(t), &pb.ListModelsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if len(models.GetModels()) != 1 || models.GetModels()[0].GetName() != want || models.GetModels()[0].GetDescription() != "says it again" {
			t.Errorf("%s sees %v", token, models)
		}
	}
}

func TestACancelReachesTheJob(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stream, err := r.client("admin").Turn(testContext(t, "safebeam-turn", "one"), ask("hi"))
	if err != nil {
		t.Fatal(err)
	}
	client := r.job("default", "echo")
	assignment, err := client.GetTurn(testContext(t), &pb.GetTurnRequest{})
	if err != nil {
		t.Fatal(err)
	}
	result, err := client.StreamTurnResultAcked(testContext(t, "safebeam-turn-uid", assignment.GetTurnUid(), "safebeam-attempt", "1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := result.Header(); err != nil {
		t.Fatal(err)
	}
	if err := r.server.Clients().TightbeamV1().RESTClient().Post().Namespace("default").Resource("turns").Name("one").SubResource("cancel").
		Do(context.Background()).Error(); err != nil {
		t.Fatal(err)
	}
	if ack, err := result.Recv(); err != nil || !ack.GetCancel() {
		t.Errorf("the job is told %v, %v", ack, err)
	}
	if _, last := readTurn(t, stream); last.GetCancelled() == nil {
		t.Errorf("the last event is %v", last)
	}
}

func TestAStopDoesNotWaitForWhoOnlyWaits(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	client := r.job("default", "echo")
	ended := make(chan error, 1)
	go func() {
		_, err := client.GetTurn(testContext(t), &pb.GetTurnRequest{})
		ended <- err
	}()
	deadline := time.Now().Add(patience)
	for r.server.Storages.Broker.ModelCounts("default", "echo").Jobs == 0 {
		if time.Now().After(deadline) {
			t.Fatal("the job does not arrive")
		}
		time.Sleep(time.Millisecond)
	}
	r.stop()
	// It is told so. Who holds up a stop is cut off in the end, and told nothing.
	if err := <-ended; status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), turns.ErrStopped.Error()) {
		t.Errorf("the job is told %v", err)
	}
}

func TestTheInsecureListenerIsLocal(t *testing.T) {
	t.Parallel()
	server := gateway.New(gateway.Options{})
	for _, address := range []net.Addr{
		&net.TCPAddr{IP: net.IPv4zero, Port: 1}, &net.TCPAddr{IP: net.IPv6zero, Port: 1}, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1}, &net.IPAddr{},
	} {
		if err := server.ServeInsecure(context.Background(), fixedListener{address}, gateway.Identity{}, nil); err == nil {
			t.Errorf("listens on %v", address)
		}
	}
	if err := server.Serve(context.Background(), fixedListener{}); err == nil || !strings.Contains(err.Error(), "no certificate") {
		t.Errorf("serves without a certificate: %v", err)
	}
}

type fixedListener struct{ address net.Addr }

func (l fixedListener) Addr() net.Addr            { return l.address }
func (l fixedListener) Accept() (net.Conn, error) { return nil, errors.New("never") }
func (l fixedListener) Close() error              { return nil }
