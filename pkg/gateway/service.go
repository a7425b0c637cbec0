// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// service returns the service with every method behind the authentication of
// its caller, and the unary ones served as streams, which look the same on the
// wire. What grpc calls an interceptor comes too late for those: it has read the
// request by then, so that somebody without a token could have us hold as many
// messages of MaxMessageSize as they have calls.
func (c callers) service(service grpc.ServiceDesc) *grpc.ServiceDesc {
	service.Streams = slices.Clone(service.Streams)
	for i := range service.Streams {
		service.Streams[i].Handler = c.authenticated(service.Streams[i].Handler)
	}
	for _, method := range service.Methods {
		service.Streams = append(service.Streams, grpc.StreamDesc{StreamName: method.MethodName, Handler: c.authenticated(
			func(server any, stream grpc.ServerStream) error {
				response, err := method.Handler(server, stream.Context(), stream.RecvMsg, nil)
				if err != nil {
					return err
				}
				return stream.SendMsg(response)
			})})
	}
	service.Methods = nil
	return &service
}

func (c callers) authenticated(handler grpc.StreamHandler) grpc.StreamHandler {
	return func(server any, stream grpc.ServerStream) error {
		who, err := c.authenticate(stream.Context())
		if err != nil {
			return err
		}
		return handler(server, authenticated{stream, context.WithValue(stream.Context(), callerKey{}, who)})
	}
}

type authenticated struct {
	grpc.ServerStream
	ctx context.Context
}

func (a authenticated) Context() context.Context { return a.ctx }

// healthService is the one method that is there for everybody: whether the
// gateway serves. It reads nothing, so it says the same of every service.
func healthService(probes *health.Server) *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: healthpb.Health_ServiceDesc.ServiceName,
		Streams: []grpc.StreamDesc{{StreamName: "Check", Handler: func(_ any, stream grpc.ServerStream) error {
			response, err := probes.Check(stream.Context(), &healthpb.HealthCheckRequest{})
			if err != nil {
				return err
			}
			return stream.SendMsg(response)
		}}},
	}
}
