// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"io"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/types"

	"safebeam.dev/safebeam/pkg/gateway/turns"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// Metadata of the calls of jobs.
const (
	metadataTurnUID  = "safebeam-turn-uid"
	metadataAttempt  = "safebeam-attempt"
	metadataReceived = "safebeam-received"
)

// GetTurn waits for a turn of the job's model.
func (s *Server) GetTurn(ctx context.Context, request *pb.GetTurnRequest) (*pb.TurnAssignment, error) {
	job, err := callerOf(ctx).llmJob()
	if err != nil {
		return nil, err
	}
	model, name, err := jobNames(job, request.GetModelName(), request.GetJobId())
	if err != nil {
		return nil, err
	}
	ctx, cancel := untilStop(ctx)
	defer cancel()
	assignment, err := s.options.Broker.GetTurn(ctx, job.Namespace, model, name)
	return assignment, wireError(whyEnded(ctx, err))
}

// jobNames returns the model and the name of a job. The request may leave them
// out but not contradict the token; without a token the request is all there is.
func jobNames(job *Identity, model, name string) (string, string, error) {
	if job.Name != "" && model != "" && model != job.Name {
		return "", "", status.Errorf(codes.PermissionDenied, "this job is of the model %q and may pull no turns of %q", job.Name, model)
	}
	if job.Name != "" {
		model = job.Name
	}
	if model == "" {
		return "", "", status.Error(codes.InvalidArgument, "model_name: is needed")
	}
	if job.Job != "" {
		name = job.Job
	}
	if name == "" {
		return "", "", status.Error(codes.InvalidArgument, "job_id: is needed")
	}
	return model, name, nil
}

// StreamTurnResult takes the answer of a turn and acknowledges it once, at its
// end.
func (s *Server) StreamTurnResult(stream grpc.ClientStreamingServer[pb.TurnResultChunk, pb.TurnAck]) error {
	result, err := s.openResult(stream.Context(), stream.SetHeader)
	if err != nil {
		return err
	}
	defer result.Close()
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	last, err := receive(stream.Context(), result, stream.Recv)
	if err != nil {
		return err
	}
	return stream.SendAndClose(&pb.TurnAck{Received: last})
}

// StreamTurnResultAcked takes the answer of a turn and acknowledges it as it
// becomes durable.
func (s *Server) StreamTurnResultAcked(stream grpc.BidiStreamingServer[pb.TurnResultChunk, pb.TurnAck]) error {
	result, err := s.openResult(stream.Context(), stream.SetHeader)
	if err != nil {
		return err
	}
	defer result.Close()
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	acks := newAcknowledger(result, stream.Send)
	last, err := receive(stream.Context(), result, func() (*pb.TurnResultChunk, error) {
		acks.owe()
		return stream.Recv()
	})
	acks.stop()
	if err != nil {
		return err
	}
	return stream.Send(&pb.TurnAck{Received: last})
}

// openResult finds the attempt that a stream is of and prepares the header
// which says where the job is to go on.
func (s *Server) openResult(ctx context.Context, header func(metadata.MD) error) (*turns.Stream, error) {
	job, err := callerOf(ctx).llmJob()
	if err != nil {
		return nil, err
	}
	md, _ := metadata.FromIncomingContext(ctx)
	uid := first(md, metadataTurnUID)
	var result *turns.Stream
	if uid == "" {
		result, err = s.options.Broker.OpenOnly(ctx, job.Namespace, job.Name, job.Job)
	} else {
		number, parseErr := strconv.ParseInt(first(md, metadataAttempt), 10, 32)
		if parseErr != nil || number < 1 {
			return nil, status.Errorf(codes.InvalidArgument, "metadata %s: %q is no attempt; send the one of the TurnAssignment", metadataAttempt, first(md, metadataAttempt))
		}
		result, err = s.options.Broker.Open(ctx, job.Namespace, job.Name, types.UID(uid), int32(number))
	}
	if err != nil {
		return nil, wireError(err)
	}
	if err := header(metadata.Pairs(metadataReceived, strconv.FormatInt(result.Received(), 10))); err != nil {
		result.Close()
		return nil, err
	}
	return result, nil
}

func first(md metadata.MD, key string) string {
	if values := md.Get(key); len(values) > 0 {
		return values[0]
	}
	return ""
}

// receive takes chunks until the last one is durable, and returns its
// sequence.
func receive(ctx context.Context, result *turns.Stream, recv func() (*pb.TurnResultChunk, error)) (int64, error) {
	for {
		chunk, err := recv()
		if errors.Is(err, io.EOF) {
			return 0, status.Error(codes.InvalidArgument, "the stream ended without complete or error")
		}
		if err != nil {
			return 0, err
		}
		done, err := result.Receive(ctx, chunk)
		if err != nil {
			return 0, wireError(err)
		}
		if done {
			return chunk.GetSequence(), nil
		}
	}
}
