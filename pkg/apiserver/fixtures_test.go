// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/apiserver/servertest"
	client "safebeam.dev/safebeam/pkg/generated/clientset/versioned/typed/tightbeam/v1"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

const (
	namespace = "default"
	group     = "/apis/tightbeam.dev/v1/namespaces/" + namespace + "/"
)

func TestMain(m *testing.M) {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	os.Exit(m.Run())
}

func model(name string) *tightbeamv1.TightbeamModel {
	return &tightbeamv1.TightbeamModel{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       tightbeamv1.TightbeamModelSpec{Provider: tightbeamv1.ProviderEcho, Model: "echo"},
	}
}

func conversation(name string) *tightbeamv1.Conversation {
	return &tightbeamv1.Conversation{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       tightbeamv1.ConversationSpec{Model: "echo"},
	}
}

func turn(name, conversation, text string) *tightbeamv1.Turn {
	return &tightbeamv1.Turn{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: tightbeamv1.TurnSpec{Conversation: conversation, Messages: []tightbeamv1.Message{{
			Role: tightbeamv1.RoleUser, Content: []tightbeamv1.ContentBlock{{Text: &text}},
		}}},
	}
}

// start starts a server with the model echo and the conversation c.
func start(t *testing.T, settings servertest.Settings) (*servertest.Server, client.TightbeamV1Interface) {
	t.Helper()
	s := servertest.Start(t, settings)
	api := s.Clients().TightbeamV1()
	if _, err := api.TightbeamModels(namespace).Create(t.Context(), model("echo"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Conversations(namespace).Create(t.Context(), conversation("c"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return s, api
}

// job is an LLM job inside the test: it answers when it is told to.
type job struct {
	t      *testing.T
	stream interface {
		Receive(ctx context.Context, chunk *pb.TurnResultChunk) (bool, error)
	}
	assignment *pb.TurnAssignment
}

// pull takes the next turn of the model echo.
func pull(t *testing.T, s *servertest.Server) *job {
	t.Helper()
	broker := s.Storages.Broker
	assignment, err := broker.GetTurn(t.Context(), namespace, "echo", "job-1")
	if err != nil {
		t.Fatal(err)
	}
	stream, err := broker.Open(t.Context(), namespace, "echo", types.UID(assignment.GetTurnUid()), assignment.GetAttempt())
	if err != nil {
		t.Fatal(err)
	}
	return &job{t: t, stream: stream, assignment: assignment}
}

// say streams one delta.
func (j *job) say(text string) {
	j.t.Helper()
	if _, err := j.stream.Receive(j.t.Context(), &pb.TurnResultChunk{Chunk: &pb.TurnResultChunk_ContentDelta{ContentDelta: &pb.ContentDelta{Text: text}}}); err != nil {
		j.t.Fatal(err)
	}
}

// finish ends the turn.
func (j *job) finish(text string) {
	j.t.Helper()
	_, err := j.stream.Receive(j.t.Context(), &pb.TurnResultChunk{Chunk: &pb.TurnResultChunk_Complete{Complete: &pb.TurnComplete{
		StopReason: pb.StopReason_STOP_REASON_END_TURN,
		Content:    []*pb.ContentBlock{{Block: &pb.ContentBlock_Text{Text: &pb.TextBlock{Text: text}}}},
	}}})
	if err != nil {
		j.t.Fatal(err)
	}
}

// open sends a GET and returns the response without reading it.
func open(t *testing.T, s *servertest.Server, path string, header ...string) *http.Response {
	t.Helper()
	return send(t, s, http.MethodGet, path, "", header...)
}

func send(t *testing.T, s *servertest.Server, method, path, body string, header ...string) *http.Response {
	t.Helper()
	http1, err := rest.HTTPClientFor(s.Client)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, s.Client.Host+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http1.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}

func read(t *testing.T, response *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
