// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strconv"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// expectFor is how long the server is asked to wait for a turn. A create that
// takes longer has its stream opened after it.
const expectFor = 30 * time.Second

// Expected is the stream of a turn that whoever reads it is about to create.
type Expected struct {
	ctx             context.Context
	close           context.CancelFunc
	client          rest.Interface
	namespace, turn string

	// opening waits for the stream that was opened beside the create.
	opening func() (io.ReadCloser, error)
}

// Expect opens the stream of a turn beside its create, which needs a name that
// the client has made up: the first token comes a round trip earlier than to who
// opens the stream when the create is answered.
//
//	expected := client.Expect(ctx, clientset.TightbeamV1().RESTClient(), turn.Namespace, turn.Name)
//	defer expected.Close()
//	if _, err := clientset.TightbeamV1().Turns(turn.Namespace).Create(ctx, turn, metav1.CreateOptions{}); err != nil {
//		return err // no event of it was shown: the name may be somebody else's turn
//	}
//	for event, err := range expected.Events() {
//
// The client's timeout must be zero, as that of StreamFrom.
func Expect(ctx context.Context, client rest.Interface, namespace, turn string) *Expected {
	e := &Expected{client: client, namespace: namespace, turn: turn}
	e.ctx, e.close = context.WithCancel(ctx)
	type opened struct {
		body io.ReadCloser
		err  error
	}
	done := make(chan opened, 1)
	go func() {
		body, err := openLog(e.ctx, client, namespace, "turns", turn, 0, true, "waitSeconds", strconv.Itoa(int(expectFor/time.Second)))
		done <- opened{body, err}
	}()
	// Its end is that of ctx: a body that nobody has taken holds nothing then.
	e.opening = sync.OnceValues(func() (io.ReadCloser, error) {
		o := <-done
		return o.body, o.err
	})
	return e
}

// Events yields the events of the turn from its first one, as Stream does. It is
// called once, after the create has succeeded.
func (e *Expected) Events() iter.Seq2[tightbeamv1.TurnEvent, error] {
	return func(yield func(tightbeamv1.TurnEvent, error) bool) {
		f := turnFollower(e.client, e.namespace, e.turn, 0)
		again := f.open
		f.open = func(ctx context.Context, after int64) (io.ReadCloser, error) {
			f.open = again
			if body, err := e.opening(); err == nil {
				return body, nil
			}
			// The create took too long, or the server is one that does not
			// wait. If it is another reason it will be said again.
			return again(ctx, after)
		}
		if err := f.run(e.ctx, yield); err != nil {
			yield(tightbeamv1.TurnEvent{}, fmt.Errorf("reading turn %s/%s: %w", e.namespace, e.turn, err))
		}
	}
}

// Close ends the stream, read or not.
func (e *Expected) Close() { e.close() }
