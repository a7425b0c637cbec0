// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

func TestClientsOfTightbeamSpeakInTheirNamespaceAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	socket := filepath.Join(dir, "tightbeam.sock")
	// What a killed process left behind.
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()

	o := prepare(t, filepath.Join(dir, "data"))
	o.Insecure = InsecureOptions{Address: "unix:" + socket, Namespace: "ws"}
	ready, stop := runs(t, o)
	defer stop()
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the socket is open to others: %v, %v", info, err)
	}
	api := clients(t, ready.Kubeconfig).TightbeamV1()
	model := &tightbeamv1.TightbeamModel{ObjectMeta: metav1.ObjectMeta{Name: "m"}, Spec: tightbeamv1.TightbeamModelSpec{Provider: "echo", Model: "m"}}
	if _, err := api.TightbeamModels("ws").Create(t.Context(), model, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := pb.NewTightbeamControllerClient(conn)

	if list, err := client.ListModels(t.Context(), &pb.ListModelsRequest{}); err != nil || len(list.Models) != 1 || list.Models[0].Name != "m" {
		t.Fatalf("models %v, %v", list, err)
	}
	ask := &pb.TurnRequest{Model: &model.Name, Messages: []*pb.Message{{
		Role: "user", Content: []*pb.ContentBlock{{Block: &pb.ContentBlock_Text{Text: &pb.TextBlock{Text: "hi"}}}},
	}}}
	stream, err := client.Turn(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	assignment, err := client.GetTurn(t.Context(), &pb.GetTurnRequest{JobId: "theirs", ModelName: "m"})
	if err != nil || len(assignment.Messages) != 1 {
		t.Fatalf("assignment %v, %v", assignment, err)
	}
	result, err := client.StreamTurnResult(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, chunk := range []*pb.TurnResultChunk{
		{Chunk: &pb.TurnResultChunk_ContentDelta{ContentDelta: &pb.ContentDelta{Text: "hello"}}},
		{Chunk: &pb.TurnResultChunk_Complete{Complete: &pb.TurnComplete{StopReason: pb.StopReason_STOP_REASON_END_TURN}}},
	} {
		if err := result.Send(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := result.CloseAndRecv(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	for {
		event, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		said.WriteString(event.GetContentDelta().GetText())
		if event.GetComplete() != nil {
			break
		}
	}
	if said.String() != "hello" {
		t.Errorf("read %q", said.String())
	}

	elsewhere := metadata.AppendToOutgoingContext(t.Context(), "safebeam-namespace", "default")
	stream, err = client.Turn(elsewhere, ask)
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("spoke in another namespace: %v", err)
	}
}

func TestWithoutTokensTheGatewayStaysOnThisMachine(t *testing.T) {
	t.Parallel()
	for address, says := range map[string]string{
		"":                  "",
		"127.0.0.1:9090":    "",
		"[::1]:9090":        "",
		"localhost:9090":    "",
		"unix:/run/tb.sock": "",
		":9090":             "loopback",
		"0.0.0.0:9090":      "loopback",
		"10.0.0.1:9090":     "loopback",
		"host:9090":         "loopback",
		"9090":              "--grpc-insecure-address",
		"unix:":             "no path",
	} {
		err := (&InsecureOptions{Address: address, Namespace: "default"}).validate()
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%q: %v, want %q", address, err, says)
		}
	}
	if err := (&InsecureOptions{Address: "127.0.0.1:9090"}).validate(); err == nil {
		t.Error("there is no namespace, and nobody says so")
	}
}
