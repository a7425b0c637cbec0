// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package channels

import (
	"context"
	"errors"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// ErrReplaced is what a job is told whose channel has a newer stream.
var ErrReplaced = errors.New("another stream of this channel took over")

// notices is how many short texts wait for a job; further ones are dropped,
// since they tell of messages that can be sent again.
const notices = 16

// Stream is the connection of a channel's job.
type Stream struct {
	hub          *Hub
	channel      types.NamespacedName
	acknowledges bool

	changed chan struct{} // answers may be there
	notices chan *pb.ChannelSend
	acks    chan string
	over    chan struct{}
	end     func()
}

// Open registers the job of a channel. Errors are API statuses.
func (h *Hub) Open(ctx context.Context, channel types.NamespacedName, register *pb.ChannelRegister) (*Stream, error) {
	object, err := h.client.TightbeamV1().TightbeamChannels(channel.Namespace).Get(ctx, channel.Name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if is := register.GetChannelType(); is != "" && is != string(object.Spec.Type) {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("channel %q is of the type %q, not %q", channel.Name, object.Spec.Type, is))
	}
	s := &Stream{
		hub: h, channel: channel, acknowledges: register.GetAcknowledges(),
		changed: make(chan struct{}, 1), notices: make(chan *pb.ChannelSend, notices), acks: make(chan string), over: make(chan struct{}),
	}
	s.end = sync.OnceFunc(func() { close(s.over) })
	signal(s.changed) // what is left from the stream before
	h.mu.Lock()
	defer h.mu.Unlock()
	if before := h.streams[channel]; before != nil {
		before.end()
	}
	h.streams[channel] = s
	return s, nil
}

// Close ends the stream.
func (s *Stream) Close() {
	s.end()
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if s.hub.streams[s.channel] == s {
		delete(s.hub.streams, s.channel)
	}
}

// Listen takes what the job sends until recv fails, as a task of the hub: recv
// must fail once ctx ends. The error is for what the job did wrong.
func (s *Stream) Listen(ctx context.Context, recv func() (*pb.ChannelInbound, error)) <-chan error {
	ended := make(chan error, 1)
	s.hub.tasks.Go(func() {
		for {
			in, err := recv()
			if err != nil {
				ended <- err
				return
			}
			switch m := in.GetMessage().(type) {
			case *pb.ChannelInbound_UserMessage:
				s.hear(ctx, m.UserMessage)
			case *pb.ChannelInbound_Sent:
				select {
				case s.acks <- m.Sent.GetId():
				case <-s.over:
				case <-ctx.Done():
				}
			default:
				ended <- apierrors.NewBadRequest("after register a channel job sends user_message and sent")
				return
			}
		}
	})
	return ended
}

// hear makes a turn of a message, or gives it to the agents.
func (s *Stream) hear(ctx context.Context, m *pb.UserMessage) {
	h := s.hub
	logger := klog.FromContext(ctx).WithValues("channel", s.channel.String())
	channel, err := h.client.TightbeamV1().TightbeamChannels(s.channel.Namespace).Get(ctx, s.channel.Name, metav1.GetOptions{})
	if err != nil {
		logger.Error(err, "A message is not answered: its channel cannot be read")
		s.notice(m.GetAddress(), refusal(err))
		return
	}
	if !allowed(channel, m.GetSender()) {
		logger.V(2).Info("A message is not answered: its sender is not in spec.allowedSenders")
		return
	}
	h.tell(ctx, channel)
	message, err := messageOf(m.GetContent())
	if err != nil || len(message.Content) == 0 {
		return // a sticker, a reaction: nothing to answer
	}
	fresh := h.heard(s.channel, m.GetAddress())
	if channel.Spec.TargetModel != "" {
		// Whether this is the second delivery is for the turn's name to say:
		// the first may have been refused.
		if err := h.ask(ctx, channel, m, message); err != nil {
			logger.Error(err, "A message is not answered")
			s.notice(m.GetAddress(), refusal(err))
		}
		return
	}
	if fresh && h.publish(s.channel.Namespace, &pb.InboundMessage{
		Content: m.GetContent(), Sender: m.GetSender(), ReplyChannel: &s.channel.Name, Address: m.GetAddress(),
	}) == 0 {
		s.notice(m.GetAddress(), "(nobody is listening now)")
	}
}

// ask creates the turn of a message, and its conversation on first use.
func (h *Hub) ask(ctx context.Context, channel *tightbeamv1.TightbeamChannel, m *pb.UserMessage, message tightbeamv1.Message) error {
	client := h.client.TightbeamV1()
	at := m.GetAddress()
	conversation := conversationName(channel, m.GetSender(), at)
	_, err := client.Conversations(channel.Namespace).Get(ctx, conversation, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = client.Conversations(channel.Namespace).Create(ctx, &tightbeamv1.Conversation{
			ObjectMeta: metav1.ObjectMeta{Name: conversation, Labels: map[string]string{tightbeamv1.LabelChannel: channel.Name}},
			Spec: tightbeamv1.ConversationSpec{
				Model: channel.Spec.TargetModel, System: channel.Spec.System,
				Title: fmt.Sprintf("%s %s", channel.Spec.Type, channel.Name),
			},
		}, metav1.CreateOptions{FieldManager: fieldManager})
		if apierrors.IsAlreadyExists(err) {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	turn := &tightbeamv1.Turn{
		ObjectMeta: metav1.ObjectMeta{Name: turnName(channel.Name, at)},
		Spec: tightbeamv1.TurnSpec{
			Conversation: conversation, Agent: channel.Spec.Agent, Messages: []tightbeamv1.Message{message},
			// The channel's, should they have changed since the conversation
			// was made.
			Model: channel.Spec.TargetModel,
		},
	}
	if channel.Spec.System != "" {
		turn.Spec.System = &channel.Spec.System
	}
	if turn.Name == "" {
		turn.GenerateName = channel.Name + "-"
	}
	if err := markReply(turn, channel.Name, at); err != nil {
		return err
	}
	_, err = client.Turns(channel.Namespace).Create(ctx, turn, metav1.CreateOptions{FieldManager: fieldManager})
	if apierrors.IsAlreadyExists(err) && turn.Name != "" {
		return nil // delivered twice
	}
	return err
}

// notice has a short text said that no turn stands for.
func (s *Stream) notice(at *pb.ChannelAddress, text string) {
	select {
	case s.notices <- &pb.ChannelSend{Content: textBlocks(text), Address: at}:
	default:
	}
}
