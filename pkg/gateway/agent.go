// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway/turns"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// Metadata of the calls of agents.
const (
	metadataNamespace    = "safebeam-namespace"
	metadataConversation = "safebeam-conversation"
	metadataTurn         = "safebeam-turn"
	metadataAfter        = "safebeam-after"

	defaultNamespace    = "default"
	defaultConversation = "default"
)

// causeSameContent is how the API says of a turn's name that is taken that the
// turn asks the same (see the registry of turns).
const causeSameContent metav1.CauseType = "SameContent"

// agent is a call of an agent: who makes it, and where.
type agent struct {
	user      user.Info
	namespace string
	metadata  metadata.MD
}

func (s *Server) agent(ctx context.Context) (*agent, error) {
	who := callerOf(ctx)
	if who.user == nil {
		return nil, status.Error(codes.PermissionDenied, "jobs may not create turns: this call is for agents")
	}
	if s.options.API == nil {
		return nil, status.Error(codes.Unimplemented, "agents are not served on this listener")
	}
	md, _ := metadata.FromIncomingContext(ctx)
	namespace := first(md, metadataNamespace)
	if namespace == "" {
		namespace = serviceAccountNamespace(who.user)
	}
	if namespace == "" {
		namespace = defaultNamespace
	}
	if who.insecure && namespace != who.job.Namespace {
		return nil, status.Errorf(codes.PermissionDenied, "this listener is for namespace %q", who.job.Namespace)
	}
	return &agent{user: who.user, namespace: namespace, metadata: md}, nil
}

// Turn creates a turn, or attaches to one that asks the same under the same
// name, and streams its events.
func (s *Server) Turn(request *pb.TurnRequest, stream grpc.ServerStreamingServer[pb.TurnEvent]) error {
	ctx := stream.Context()
	agent, err := s.agent(ctx)
	if err != nil {
		return err
	}
	after, err := afterOf(agent.metadata)
	if err != nil {
		return err
	}
	turn, err := turnOf(request, agent)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if channel := request.GetReplyChannel(); channel != "" {
		if s.options.Channels == nil {
			return errNoChannels
		}
		if err := s.options.API.GetChannel(ctx, agent.user, agent.namespace, channel); err != nil {
			return apiError(err)
		}
		if err := s.options.Channels.Reply(turn, channel, request.GetReplyAddress()); err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
	}
	created, err := s.createTurn(ctx, agent, turn)
	if err != nil {
		return apiError(err)
	}
	if err := stream.SendHeader(metadata.Pairs(
		metadataNamespace, created.Namespace,
		metadataConversation, created.Spec.Conversation,
		metadataTurn, created.Name,
		metadataTurnUID, string(created.UID),
	)); err != nil {
		return err
	}
	return s.sendEvents(ctx, created, after, stream.Send)
}

func afterOf(md metadata.MD) (int64, error) {
	text := first(md, metadataAfter)
	if text == "" {
		return 0, nil
	}
	after, err := strconv.ParseInt(text, 10, 64)
	if err != nil || after < 0 {
		return 0, status.Errorf(codes.InvalidArgument, "metadata %s: %q is no event number", metadataAfter, text)
	}
	return after, nil
}

// turnOf makes the API's turn of the request's.
func turnOf(request *pb.TurnRequest, agent *agent) (*tightbeamv1.Turn, error) {
	conversation := first(agent.metadata, metadataConversation)
	if conversation == "" {
		conversation = defaultConversation
	}
	turn := &tightbeamv1.Turn{
		ObjectMeta: metav1.ObjectMeta{Namespace: agent.namespace, Name: first(agent.metadata, metadataTurn)},
		Spec: tightbeamv1.TurnSpec{
			Conversation: conversation, Agent: request.GetAgent(), System: request.System,
			Model: request.GetModel(), ToolChoice: request.GetToolChoice(), Temperature: request.Temperature,
		},
	}
	if turn.Name == "" {
		turn.GenerateName = "turn-"
	}
	for i, message := range request.GetMessages() {
		m, err := turns.MessageFromProto(message)
		if err != nil {
			return nil, fmt.Errorf("messages[%d]: %w", i, err)
		}
		turn.Spec.Messages = append(turn.Spec.Messages, m)
	}
	for i, tool := range request.GetTools() {
		parameters, err := turns.RawFromJSON(tool.GetParametersJson(), false)
		if err != nil {
			return nil, fmt.Errorf("tools[%d].parameters_json: %w", i, err)
		}
		turn.Spec.Tools = append(turn.Spec.Tools, tightbeamv1.Tool{Name: tool.GetName(), Description: tool.GetDescription(), Parameters: parameters})
	}
	var err error
	if turn.Spec.ResponseSchema, err = turns.RawFromJSON(request.GetResponseSchemaJson(), false); err != nil {
		return nil, fmt.Errorf("response_schema_json: %w", err)
	}
	if turn.Spec.MaxTokens, err = optionalInt32("max_tokens", request.GetMaxTokens()); err != nil {
		return nil, err
	}
	turn.Spec.DeadlineSeconds, err = optionalInt32("deadline_seconds", request.GetDeadlineSeconds())
	return turn, err
}

func optionalInt32(field string, value uint32) (*int32, error) {
	if value == 0 {
		return nil, nil
	}
	if value > math.MaxInt32 {
		return nil, fmt.Errorf("%s: %d is larger than %d", field, value, math.MaxInt32)
	}
	return ptr.To(int32(value)), nil
}

// createTurn creates the turn, its conversation first where it is the default
// one, and returns the one that is there already if it asks the same.
func (s *Server) createTurn(ctx context.Context, agent *agent, turn *tightbeamv1.Turn) (*tightbeamv1.Turn, error) {
	api := s.options.API
	if turn.Spec.Conversation == defaultConversation && first(agent.metadata, metadataConversation) == "" {
		if err := s.ensureDefault(ctx, agent, turn.Spec.Model); err != nil {
			return nil, err
		}
	}
	created, err := api.CreateTurn(ctx, agent.user, turn)
	if apierrors.IsAlreadyExists(err) && apierrors.HasStatusCause(err, causeSameContent) {
		return api.GetTurn(ctx, agent.user, turn.Namespace, turn.Name)
	}
	return created, err
}

// ensureDefault makes the conversation "default" on its first use.
func (s *Server) ensureDefault(ctx context.Context, agent *agent, model string) error {
	api := s.options.API
	_, err := api.GetConversation(ctx, agent.user, agent.namespace, defaultConversation)
	if !apierrors.IsNotFound(err) {
		return err
	}
	if model == "" {
		models, err := api.ListModels(ctx, agent.user, agent.namespace)
		if err != nil {
			return err
		}
		if len(models.Items) != 1 {
			names := make([]string, 0, len(models.Items))
			for i := range models.Items {
				names = append(names, models.Items[i].Name)
			}
			slices.Sort(names)
			return apierrors.NewBadRequest(fmt.Sprintf(
				"model: is needed for the first turn of the conversation %q, since the namespace %q has %d models: [%s]",
				defaultConversation, agent.namespace, len(names), strings.Join(names, ", ")))
		}
		model = models.Items[0].Name
	}
	_, err = api.CreateConversation(ctx, agent.user, &tightbeamv1.Conversation{
		ObjectMeta: metav1.ObjectMeta{Namespace: agent.namespace, Name: defaultConversation},
		Spec:       tightbeamv1.ConversationSpec{Model: model},
	})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// sendEvents streams a turn's events to its end.
func (s *Server) sendEvents(ctx context.Context, turn *tightbeamv1.Turn, after int64, send func(*pb.TurnEvent) error) error {
	ctx, cancel := untilStop(ctx)
	defer cancel()
	reader, err := s.options.Broker.Read(ctx, turn, after)
	if err != nil {
		return apiError(whyEnded(ctx, err))
	}
	for {
		events, err := reader.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return wireError(whyEnded(ctx, err))
		}
		for _, event := range events {
			message, err := turns.EventToProto(event)
			if err != nil {
				return status.Error(codes.Internal, err.Error())
			}
			if err := send(message); err != nil {
				return err
			}
		}
	}
}

// ListModels returns the models of the caller's namespace.
func (s *Server) ListModels(ctx context.Context, _ *pb.ListModelsRequest) (*pb.ListModelsResponse, error) {
	agent, err := s.agent(ctx)
	if err != nil {
		return nil, err
	}
	models, err := s.options.API.ListModels(ctx, agent.user, agent.namespace)
	if err != nil {
		return nil, apiError(err)
	}
	out := &pb.ListModelsResponse{}
	for i := range models.Items {
		m := &models.Items[i]
		out.Models = append(out.Models, &pb.ModelInfo{
			Name: m.Name, Provider: string(m.Spec.Provider), Model: m.Spec.Model, Description: m.Spec.Description,
		})
	}
	return out, nil
}

// statusCodes are the gRPC codes of HTTP statuses, as google.rpc.Code maps
// them.
var statusCodes = map[int32]codes.Code{
	http.StatusBadRequest:            codes.InvalidArgument,
	http.StatusUnauthorized:          codes.Unauthenticated,
	http.StatusForbidden:             codes.PermissionDenied,
	http.StatusNotFound:              codes.NotFound,
	http.StatusConflict:              codes.Aborted,
	http.StatusGone:                  codes.OutOfRange,
	http.StatusRequestEntityTooLarge: codes.InvalidArgument,
	http.StatusUnprocessableEntity:   codes.InvalidArgument,
	http.StatusTooManyRequests:       codes.ResourceExhausted,
	http.StatusInternalServerError:   codes.Internal,
	http.StatusServiceUnavailable:    codes.Unavailable,
	http.StatusGatewayTimeout:        codes.DeadlineExceeded,
}

// apiError makes an API status a gRPC one with the same message.
func apiError(err error) error {
	var api apierrors.APIStatus
	if !errors.As(err, &api) {
		return wireError(err)
	}
	if apierrors.IsAlreadyExists(err) {
		return status.Error(codes.AlreadyExists, api.Status().Message)
	}
	code, ok := statusCodes[api.Status().Code]
	if !ok {
		code = codes.Unknown
	}
	return status.Error(code, api.Status().Message)
}
