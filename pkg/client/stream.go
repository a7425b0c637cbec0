// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strconv"

	"k8s.io/client-go/rest"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// Stream yields the events of a turn with numbers above after, as they happen,
// and ends behind the terminal one. A broken connection is resumed; what the
// server refuses (401, 403, 404, 410) is yielded as the error and ends the
// sequence, and so does a server that stays away for some minutes.
func Stream(ctx context.Context, config *rest.Config, namespace, turn string, after int64) iter.Seq2[tightbeamv1.TurnEvent, error] {
	client, err := restClient(config)
	if err != nil {
		return func(yield func(tightbeamv1.TurnEvent, error) bool) { yield(tightbeamv1.TurnEvent{}, err) }
	}
	return StreamFrom(ctx, client, namespace, turn, after)
}

// StreamFrom is Stream over a REST client of group tightbeam.dev, such as a
// clientset has. Its timeout must be zero.
func StreamFrom(ctx context.Context, client rest.Interface, namespace, turn string, after int64) iter.Seq2[tightbeamv1.TurnEvent, error] {
	return func(yield func(tightbeamv1.TurnEvent, error) bool) {
		f := turnFollower(client, namespace, turn, after)
		if err := f.run(ctx, yield); err != nil {
			yield(tightbeamv1.TurnEvent{}, fmt.Errorf("reading turn %s/%s: %w", namespace, turn, err))
		}
	}
}

func turnFollower(client rest.Interface, namespace, turn string, after int64) *follower[tightbeamv1.TurnEvent] {
	return &follower[tightbeamv1.TurnEvent]{
		// turns/log and not turns/stream: kube-apiserver knows log as a
		// request that takes long, and does not cut it after a minute.
		open: func(ctx context.Context, after int64) (io.ReadCloser, error) {
			return openLog(ctx, client, namespace, "turns", turn, after, true)
		},
		number:   func(e *tightbeamv1.TurnEvent) int64 { return e.Number },
		terminal: func(e *tightbeamv1.TurnEvent) bool { return e.Type.Terminal() },
		after:    after,
	}
}

func restClient(config *rest.Config) (rest.Interface, error) {
	config = rest.CopyConfig(config)
	config.GroupVersion = &tightbeamv1.SchemeGroupVersion
	config.APIPath = "/apis"
	// A turn takes as long as it takes.
	config.Timeout = 0
	// Ours is the patience, and one reader makes one request at a time.
	config.QPS = -1
	config.RateLimiter = nil
	if config.NegotiatedSerializer == nil {
		config.NegotiatedSerializer = serializer
	}
	return rest.RESTClientFor(config)
}

// openLog reads the log of an object as lines of JSON. params are names and
// values of more parameters.
func openLog(ctx context.Context, client rest.Interface, namespace, resource, name string, after int64, follow bool, params ...string) (io.ReadCloser, error) {
	request := client.Get().
		Namespace(namespace).Resource(resource).Name(name).SubResource("log").
		Param("after", strconv.FormatInt(after, 10)).
		SetHeader("Accept", "application/x-ndjson")
	for i := 0; i+1 < len(params); i += 2 {
		request = request.Param(params[i], params[i+1])
	}
	if follow {
		request = request.Param("follow", "true").MaxRetries(0) // ours is the patience
	}
	return request.Stream(ctx)
}
