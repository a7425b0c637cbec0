// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

func (r *rig) channel(name string, change func(*tightbeamv1.TightbeamChannelSpec)) {
	r.t.Helper()
	channel := &tightbeamv1.TightbeamChannel{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: tightbeamv1.TightbeamChannelSpec{
		Type: tightbeamv1.ChannelTypeDiscord, SecretName: "bot", TargetModel: "echo", AllowedSenders: []string{"ann"}, System: "be kind",
	}}
	if change != nil {
		change(&channel.Spec)
	}
	if _, err := r.server.Clients().TightbeamV1().TightbeamChannels("default").Create(context.Background(), channel, metav1.CreateOptions{}); err != nil {
		r.t.Fatal(err)
	}
}

// bridge is the fake job of a channel.
type bridge struct {
	t      *testing.T
	stream grpc.BidiStreamingClient[pb.ChannelInbound, pb.ChannelOutbound]
	cancel context.CancelFunc
}

func (r *rig) bridge(name string, acknowledges bool) *bridge {
	r.t.Helper()
	token, revoke := r.tokens.Issue(gateway.Identity{Role: gateway.RoleChannel, Namespace: "default", Name: name})
	r.t.Cleanup(revoke)
	ctx, cancel := context.WithCancel(testContext(r.t))
	stream, err := r.client(token).ChannelStream(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	b := &bridge{r.t, stream, cancel}
	b.send(&pb.ChannelInbound{Message: &pb.ChannelInbound_Register{Register: &pb.ChannelRegister{
		ChannelType: "discord", ChannelName: name, Acknowledges: acknowledges,
	}}})
	return b
}

func (b *bridge) send(m *pb.ChannelInbound) {
	b.t.Helper()
	if err := b.stream.Send(m); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bridge) write(sender, text string, at *pb.ChannelAddress) {
	b.t.Helper()
	b.send(&pb.ChannelInbound{Message: &pb.ChannelInbound_UserMessage{UserMessage: &pb.UserMessage{
		Content: blocks(text), Sender: sender, Address: at,
	}}})
}

func (b *bridge) hear() *pb.ChannelSend {
	b.t.Helper()
	m, err := b.stream.Recv()
	if err != nil {
		b.t.Fatalf("the channel hears %v", err)
	}
	return m.GetSendMessage()
}

func (b *bridge) acknowledge(m *pb.ChannelSend) {
	b.t.Helper()
	b.send(&pb.ChannelInbound{Message: &pb.ChannelInbound_Sent{Sent: &pb.ChannelSent{Id: m.GetId()}}})
}

func textOf(m *pb.ChannelSend) string { return m.GetContent()[0].GetText().GetText() }

func in(channel, thread, message string) *pb.ChannelAddress {
	return &pb.ChannelAddress{ChannelId: channel, ThreadId: thread, MessageId: message}
}

func TestAChannelsMessageIsAnsweredWhereItWasWritten(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.channel("c", nil)
	b := r.bridge("c", true)
	b.write("eve", "let me in", in("C", "T", "0"))
	b.write("ann", "hi", in("C", "T", "1"))
	b.write("ann", "hi", in("C", "T", "1")) // delivered twice
	assignment := answerOne(t, r.job("default", "echo"), "hello ann")
	if len(assignment.GetMessages()) != 1 || assignment.GetMessages()[0].GetContent()[0].GetText().GetText() != "hi" || assignment.GetSystem() != "be kind" {
		t.Errorf("assignment %v", assignment)
	}
	said := b.hear()
	if textOf(said) != "hello ann" || said.GetAddress().GetThreadId() != "T" || said.GetAddress().GetMessageId() != "1" || said.GetId() == "" {
		t.Errorf("heard %v", said)
	}
	b.acknowledge(said)
	b.write("ann", "again", in("C", "T", "2"))
	second := answerOne(t, r.job("default", "echo"), "hello again")
	if second.GetConversation() != assignment.GetConversation() || len(second.GetMessages()) != 3 {
		t.Errorf("the thread is not one conversation: %v", second)
	}
	if textOf(b.hear()) != "hello again" {
		t.Error("the second answer")
	}
	turns, err := r.server.Clients().TightbeamV1().Turns("default").List(context.Background(), metav1.ListOptions{})
	if err != nil || len(turns.Items) != 2 {
		t.Errorf("%d turns, %v", len(turns.Items), err)
	}
	channel, err := r.server.Clients().TightbeamV1().TightbeamChannels("default").Get(context.Background(), "c", metav1.GetOptions{})
	if err != nil || channel.Status.LastMessageTime == nil {
		t.Errorf("status %+v, %v", channel.Status, err)
	}
}

func TestAnAnswerThatWasNotSaidIsSaidToTheNextStream(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.channel("c", nil)
	b := r.bridge("c", true)
	b.write("ann", "one", in("C", "", "1"))
	r.awaitTurns(1)
	b.cancel() // before there is an answer
	answerOne(t, r.job("default", "echo"), "answer one")
	b = r.bridge("c", true)
	first := b.hear()
	if textOf(first) != "answer one" {
		t.Errorf("heard %v", first)
	}
	b.cancel() // heard, not acknowledged
	b = r.bridge("c", true)
	if again := b.hear(); again.GetId() != first.GetId() {
		t.Errorf("heard %v instead of %v again", again, first)
	} else {
		b.acknowledge(again)
	}
	r.awaitSaid()
	b.cancel()
	b = r.bridge("c", true)
	b.write("ann", "two", in("C", "", "2"))
	answerOne(t, r.job("default", "echo"), "answer two")
	if got := b.hear(); textOf(got) != "answer two" {
		t.Errorf("heard %v", got)
	}
}

// awaitTurns waits for that many turns.
func (r *rig) awaitTurns(n int) {
	r.t.Helper()
	r.eventually("there are turns", func() bool {
		turns, err := r.server.Clients().TightbeamV1().Turns("default").List(context.Background(), metav1.ListOptions{})
		return err == nil && len(turns.Items) >= n
	})
}

// awaitSaid waits until every answer is known to be said.
func (r *rig) awaitSaid() {
	r.t.Helper()
	r.eventually("all is said", func() bool {
		turns, err := r.server.Clients().TightbeamV1().Turns("default").List(context.Background(), metav1.ListOptions{LabelSelector: "tightbeam.dev/reply=pending"})
		return err == nil && len(turns.Items) == 0
	})
}

func (r *rig) eventually(what string, is func() bool) {
	r.t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("never: %s", what)
		}
	}
}

func TestASecondStreamOfAChannelTakesOver(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.channel("c", nil)
	first := r.bridge("c", true)
	first.write("ann", "one", in("C", "", "1"))
	r.awaitTurns(1)
	second := r.bridge("c", false)
	if _, err := first.stream.Recv(); status.Code(err) != codes.Aborted {
		t.Errorf("the first stream ends with %v", err)
	}
	answerOne(t, r.job("default", "echo"), "answer")
	if got := second.hear(); textOf(got) != "answer" {
		t.Errorf("heard %v", got)
	}
	r.awaitSaid() // the seed's job acknowledges nothing
}

func TestAnAgentAnswersWhatNoModelDoes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.channel("c", func(s *tightbeamv1.TightbeamChannelSpec) { s.TargetModel, s.AllowedSenders = "", []string{"*"} })
	b := r.bridge("c", false)
	b.write("ann", "anybody?", in("C", "", "1"))
	if got := b.hear(); textOf(got) != "(nobody is listening now)" || got.GetAddress().GetChannelId() != "C" {
		t.Errorf("heard %v", got)
	}
	agent := r.client("admin")
	inbox, err := agent.Subscribe(testContext(t), &pb.SubscribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := inbox.Header(); err != nil {
		t.Fatal(err)
	}
	b.write("ann", "hi", in("C", "T", "2"))
	b.write("ann", "hi", in("C", "T", "2")) // delivered twice
	b.write("ann", "bye", in("C", "T", "3"))
	message, err := inbox.Recv()
	if err != nil || message.GetSender() != "ann" || message.GetReplyChannel() != "c" || message.GetContent()[0].GetText().GetText() != "hi" {
		t.Fatalf("the agent hears %v, %v", message, err)
	}
	if next, err := inbox.Recv(); err != nil || next.GetContent()[0].GetText().GetText() != "bye" {
		t.Errorf("the agent hears %v, %v", next, err)
	}
	request := ask("what do I answer?")
	request.ReplyChannel, request.ReplyAddress = message.ReplyChannel, message.Address
	stream, err := agent.Turn(testContext(t), request)
	if err != nil {
		t.Fatal(err)
	}
	answerOne(t, r.job("default", "echo"), "this")
	readTurn(t, stream)
	if got := b.hear(); textOf(got) != "this" || got.GetAddress().GetMessageId() != "2" {
		t.Errorf("heard %v", got)
	}
	// The seed's agent echoes no address: it answers what came last.
	request = ask("and now?")
	request.ReplyChannel = message.ReplyChannel
	if stream, err = agent.Turn(testContext(t), request); err != nil {
		t.Fatal(err)
	}
	answerOne(t, r.job("default", "echo"), "that")
	readTurn(t, stream)
	if got := b.hear(); textOf(got) != "that" || got.GetAddress().GetMessageId() != "3" {
		t.Errorf("heard %v", got)
	}
}

func TestAChannelIsToldWhyThereIsNoAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.channel("c", nil)
	r.channel("orphan", func(s *tightbeamv1.TightbeamChannelSpec) { s.TargetModel = "gone" })
	b := r.bridge("c", true)
	b.write("ann", "hi", nil)
	client := r.job("default", "echo")
	assignment, err := client.GetTurn(testContext(t), &pb.GetTurnRequest{})
	if err != nil {
		t.Fatal(err)
	}
	stream, err := client.StreamTurnResultAcked(testContext(t, "safebeam-turn-uid", assignment.GetTurnUid(), "safebeam-attempt", "1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&pb.TurnResultChunk{Sequence: 1, Chunk: &pb.TurnResultChunk_Error{Error: &pb.TurnError{
		Class: pb.ErrorClass_ERROR_CLASS_INVALID_REQUEST, Message: "the secret inside",
	}}}); err != nil {
		t.Fatal(err)
	}
	if got := b.hear(); textOf(got) != "(no answer: InvalidRequest)" {
		t.Errorf("heard %v", got)
	}
	orphan := r.bridge("orphan", true)
	orphan.write("ann", "hi", in("C", "", "1"))
	if got := orphan.hear(); textOf(got) != "(this message cannot be answered)" || got.GetId() != "" {
		t.Errorf("heard %v", got)
	}
}

func TestWhoMayNotBridgeIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.channel("c", nil)
	try := func(client pb.TightbeamControllerClient, first *pb.ChannelInbound) codes.Code {
		stream, err := client.ChannelStream(testContext(t))
		if err != nil {
			return status.Code(err)
		}
		_ = stream.Send(first)
		_, err = stream.Recv()
		return status.Code(err)
	}
	register := func(kind, name string) *pb.ChannelInbound {
		return &pb.ChannelInbound{Message: &pb.ChannelInbound_Register{Register: &pb.ChannelRegister{ChannelType: kind, ChannelName: name}}}
	}
	as := func(name string) pb.TightbeamControllerClient {
		token, revoke := r.tokens.Issue(gateway.Identity{Role: gateway.RoleChannel, Namespace: "default", Name: name})
		t.Cleanup(revoke)
		return r.client(token)
	}
	for name, c := range map[string]struct{ got, want codes.Code }{
		"a user":              {try(r.client("admin"), register("", "c")), codes.PermissionDenied},
		"an LLM job":          {try(r.job("default", "c"), register("", "c")), codes.PermissionDenied},
		"another channel":     {try(as("c"), register("", "d")), codes.PermissionDenied},
		"no such channel":     {try(as("d"), register("", "d")), codes.NotFound},
		"another platform":    {try(as("c"), register("slack", "c")), codes.InvalidArgument},
		"speech unregistered": {try(as("c"), &pb.ChannelInbound{}), codes.InvalidArgument},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", name, c.got, c.want)
		}
	}
}
