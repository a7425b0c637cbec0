// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// shortAnswer has a few deltas and no delay.
const shortAnswer = "paced-4x20@0"

// ttft measures the time to the first token: through the API (create, then
// stream), through the gRPC call Turn, and from the provider itself, in turns.
// What a way adds is its time less the median of the provider's.
func ttft(ctx context.Context, s *servers, short bool) error {
	n := 1500
	if short {
		n = 200
	}
	if err := s.addModel(ctx, "ttft", shortAnswer, 1, 64); err != nil {
		return err
	}
	if err := s.addConversation(ctx, "ttft", "ttft"); err != nil {
		return err
	}
	agent, closeAgent, err := s.agent()
	if err != nil {
		return err
	}
	defer closeAgent()

	var direct, api, create, rpc samples
	for i := range n + 50 {
		d, err := s.directTTFT(ctx, shortAnswer)
		if err != nil {
			return err
		}
		a, c, err := s.apiTTFT(ctx, fmt.Sprintf("ttft-%d", i), "ttft")
		if err != nil {
			return err
		}
		g, err := rpcTTFT(ctx, agent, fmt.Sprintf("ttft-grpc-%d", i), "ttft")
		if err != nil {
			return err
		}
		if i >= 50 { // warm
			direct, api, create, rpc = append(direct, d), append(api, a), append(create, c), append(rpc, g)
		}
	}
	fmt.Println("provider alone: ", direct)
	fmt.Println("API, then stream:", api)
	fmt.Println("  of it the create:", create)
	fmt.Println("gRPC Turn:       ", rpc)
	base := direct.at(.5)
	figure("ttft_added_p50_ms", milliseconds(api.at(.5)-base), "ms")
	figure("ttft_added_p99_ms", milliseconds(api.at(.99)-base), "ms")
	figure("ttft_grpc_added_p50_ms", milliseconds(rpc.at(.5)-base), "ms")
	figure("ttft_grpc_added_p99_ms", milliseconds(rpc.at(.99)-base), "ms")
	return s.ttftClients(ctx, 50, n/25, base)
}

// ttftClients measures the same from several clients at once, each in its own
// conversation.
func (s *servers) ttftClients(ctx context.Context, clients, each int, base time.Duration) error {
	const think = 500 * time.Millisecond
	var mu sync.Mutex
	var all samples
	var group sync.WaitGroup
	var failed error
	for client := range clients {
		conversation := fmt.Sprintf("ttft-client-%d", client)
		if err := s.addConversation(ctx, conversation, "ttft"); err != nil {
			return err
		}
		group.Go(func() {
			time.Sleep(time.Duration(client) * think / time.Duration(clients))
			for i := range each {
				d, _, err := s.apiTTFT(ctx, fmt.Sprintf("%s-%d", conversation, i), conversation)
				mu.Lock()
				failed = errors.Join(failed, err)
				all = append(all, d)
				mu.Unlock()
				if err != nil {
					return
				}
				// A user reads before asking again.
				time.Sleep(think)
			}
		})
	}
	group.Wait()
	fmt.Printf("API, %d clients, each asking again after %s: %s\n", clients, think, all)
	figure(fmt.Sprintf("ttft_added_%d_clients_p50_ms", clients), milliseconds(all.at(.5)-base), "ms")
	figure(fmt.Sprintf("ttft_added_%d_clients_p99_ms", clients), milliseconds(all.at(.99)-base), "ms")
	return failed
}

func (s *servers) directTTFT(ctx context.Context, model string) (first time.Duration, err error) {
	begin := time.Now()
	return first, s.callProvider(ctx, model, func(at time.Time) bool {
		if first == 0 {
			first = at.Sub(begin)
		}
		return true
	})
}

// apiTTFT returns the time to the first delta, and how much of it was the
// create.
func (s *servers) apiTTFT(ctx context.Context, turn, conversation string) (first, created time.Duration, err error) {
	begin := time.Now()
	if err := s.addTurn(ctx, turn, conversation); err != nil {
		return 0, 0, err
	}
	created = time.Since(begin)
	return first, created, s.complete(ctx, turn, func(event *tightbeamv1.TurnEvent, at time.Time) {
		if first == 0 && event.Type == tightbeamv1.TurnEventBlockDelta {
			first = at.Sub(begin)
		}
	})
}

func (s *servers) agent() (pb.TightbeamControllerClient, func() error, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(s.config.CAData) {
		return nil, nil, errors.New("the kubeconfig has no certificate authority")
	}
	connection, err := grpc.NewClient(s.gateway, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool})))
	if err != nil {
		return nil, nil, err
	}
	token := s.config.BearerToken
	return authorized{pb.NewTightbeamControllerClient(connection), token}, connection.Close, nil
}

// authorized adds the bearer token.
type authorized struct {
	pb.TightbeamControllerClient
	token string
}

func (a authorized) Turn(ctx context.Context, request *pb.TurnRequest, options ...grpc.CallOption) (grpc.ServerStreamingClient[pb.TurnEvent], error) {
	return a.TightbeamControllerClient.Turn(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+a.token), request, options...)
}

func rpcTTFT(ctx context.Context, agent pb.TightbeamControllerClient, turn, conversation string) (first time.Duration, err error) {
	ctx = metadata.AppendToOutgoingContext(ctx, "safebeam-turn", turn, "safebeam-conversation", conversation)
	begin := time.Now()
	stream, err := agent.Turn(ctx, &pb.TurnRequest{Messages: []*pb.Message{{
		Role: "user", Content: []*pb.ContentBlock{{Block: &pb.ContentBlock_Text{Text: &pb.TextBlock{Text: "hello"}}}},
	}}})
	if err != nil {
		return 0, err
	}
	for {
		event, err := stream.Recv()
		if err != nil {
			return first, fmt.Errorf("turn %s: %w", turn, err)
		}
		switch event.GetEvent().(type) {
		case *pb.TurnEvent_ContentDelta:
			if first == 0 {
				first = time.Since(begin)
			}
		case *pb.TurnEvent_Complete:
			return first, nil
		case *pb.TurnEvent_Error, *pb.TurnEvent_Cancelled:
			return first, fmt.Errorf("turn %s: %v", turn, event)
		}
	}
}

// gap measures what lies between two tokens: that of the provider's pace, and
// what our way adds to it.
func gap(ctx context.Context, s *servers, short bool) error {
	const deltas, rate = 200, 50
	pace := fmt.Sprintf("paced-%dx20@%d", deltas, rate)
	rounds, clients := 5, 10
	if short {
		rounds = 1
	}
	if err := s.addModel(ctx, "gap", pace, 1, 2*clients); err != nil {
		return err
	}
	var direct, ours samples
	var mu sync.Mutex
	var serial atomic.Int64
	collect := func(into *samples, stream func(see func(at time.Time)) error) error {
		var last time.Time
		var gaps samples
		err := stream(func(at time.Time) {
			if !last.IsZero() {
				gaps = append(gaps, at.Sub(last))
			}
			last = at
		})
		mu.Lock()
		defer mu.Unlock()
		*into = append(*into, gaps...)
		return err
	}
	for round := range rounds {
		var group sync.WaitGroup
		errs := make(chan error, 2*clients)
		for client := range clients {
			conversation := fmt.Sprintf("gap-%d-%d", round, client)
			if err := s.addConversation(ctx, conversation, "gap"); err != nil {
				return err
			}
			group.Go(func() {
				errs <- collect(&direct, func(see func(time.Time)) error {
					return s.callProvider(ctx, pace, func(at time.Time) bool { see(at); return true })
				})
			})
			group.Go(func() {
				turn := fmt.Sprintf("gap-%d", serial.Add(1))
				errs <- collect(&ours, func(see func(time.Time)) error {
					if err := s.addTurn(ctx, turn, conversation); err != nil {
						return err
					}
					return s.complete(ctx, turn, func(event *tightbeamv1.TurnEvent, at time.Time) {
						if event.Type == tightbeamv1.TurnEventBlockDelta {
							see(at)
						}
					})
				})
			})
		}
		group.Wait()
		close(errs)
		for err := range errs {
			if err != nil {
				return err
			}
		}
	}
	fmt.Printf("gap, %d streams at %d/s, provider alone: %s\n", clients, rate, direct)
	fmt.Printf("gap, %d streams at %d/s, through us:     %s\n", clients, rate, ours)
	figure("gap_added_p50_ms", milliseconds(ours.at(.5)-direct.at(.5)), "ms")
	figure("gap_added_p99_ms", milliseconds(ours.at(.99)-direct.at(.99)), "ms")
	return nil
}
