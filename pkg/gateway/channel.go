// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/types"

	"safebeam.dev/safebeam/pkg/gateway/channels"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

var errNoChannels = status.Error(codes.Unimplemented, "channels are not served on this listener")

// ChannelStream joins a channel's job to its conversations.
func (s *Server) ChannelStream(stream grpc.BidiStreamingServer[pb.ChannelInbound, pb.ChannelOutbound]) error {
	ctx := stream.Context()
	if s.options.Channels == nil {
		return errNoChannels
	}
	job, err := callerOf(ctx).channelJob()
	if err != nil {
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	register := first.GetRegister()
	if register == nil {
		return status.Error(codes.InvalidArgument, "a channel job sends register first")
	}
	name := register.GetChannelName()
	if job.Name != "" && name != "" && name != job.Name {
		return status.Errorf(codes.PermissionDenied, "this job is of the channel %q and may not speak for %q", job.Name, name)
	}
	if job.Name != "" {
		name = job.Name
	}
	if name == "" {
		return status.Error(codes.InvalidArgument, "channel_name: is needed")
	}
	channel, err := s.options.Channels.Open(ctx, types.NamespacedName{Namespace: job.Namespace, Name: name}, register)
	if err != nil {
		return apiError(err)
	}
	defer channel.Close()
	heard := channel.Listen(ctx, stream.Recv)
	said := make(chan error, 1)
	go func() {
		said <- channel.Say(ctx, func(m *pb.ChannelSend) error {
			return stream.Send(&pb.ChannelOutbound{Message: &pb.ChannelOutbound_SendMessage{SendMessage: m}})
		})
	}()
	select {
	case err = <-heard:
		channel.Close()
		<-said // nothing may be sent once this call has returned
	case err = <-said:
	}
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.Is(err, channels.ErrReplaced):
		return status.Error(codes.Aborted, err.Error())
	}
	return apiError(err)
}

// Subscribe gives an agent what is written on the channels of its namespace
// that no model answers.
func (s *Server) Subscribe(_ *pb.SubscribeRequest, stream grpc.ServerStreamingServer[pb.InboundMessage]) error {
	ctx := stream.Context()
	if s.options.Channels == nil {
		return errNoChannels
	}
	agent, err := s.agent(ctx)
	if err != nil {
		return err
	}
	// Who may read the channels may hear what they say.
	if err := s.options.API.ListChannels(ctx, agent.user, agent.namespace); err != nil {
		return apiError(err)
	}
	ctx, cancel := untilStop(ctx)
	defer cancel()
	subscription := s.options.Channels.Subscribe(agent.namespace)
	defer subscription.Close()
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	for {
		select {
		case message := <-subscription.Messages:
			if err := stream.Send(message); err != nil {
				return err
			}
		case <-subscription.Lost:
			return status.Error(codes.ResourceExhausted, "messages came faster than they were taken and some are lost; subscribe again")
		case <-ctx.Done():
			return wireError(whyEnded(ctx, ctx.Err()))
		}
	}
}
