// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package llmjob

import (
	"context"
	"errors"
	"sync"

	"google.golang.org/protobuf/proto"

	tightbeampb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// maxUnacknowledged bounds what one attempt holds for a gateway that does not
// acknowledge. It is above MaxMessageSize, so that the terminal chunk fits
// behind what is left of the stream.
const maxUnacknowledged = MaxMessageSize + 16<<20

// errAbandoned ends a provider's call whose outbox nobody empties any more.
var errAbandoned = errors.New("the attempt is no longer ours")

type sized struct {
	chunk *tightbeampb.TurnResultChunk
	bytes int
}

// outbox holds the chunks of one attempt from when they are made until the
// gateway has them durable. One goroutine puts, one sends, one acknowledges.
type outbox struct {
	limit int

	mu      sync.Mutex
	pending []sized // sequences acked+1, acked+2, …
	acked   int64
	last    int64 // the last sequence given
	bytes   int
	sealed  bool // the terminal chunk is in

	// Each holds one token at most: there is one waiter a channel.
	more  chan struct{} // for the sender: something was put
	space chan struct{} // for the putter: something was acknowledged
	gone  chan struct{} // closed: nobody sends any more
}

func newOutbox(limit int) *outbox {
	return &outbox{
		limit: limit,
		more:  make(chan struct{}, 1), space: make(chan struct{}, 1), gone: make(chan struct{}),
	}
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// put gives the chunk its sequence number and takes it, waiting for room.
func (o *outbox) put(ctx context.Context, c *tightbeampb.TurnResultChunk) error {
	size := proto.Size(c)
	for {
		select {
		case <-o.gone:
			return errAbandoned
		default:
		}
		o.mu.Lock()
		// A chunk always fits an empty outbox.
		if len(o.pending) == 0 || o.bytes+size <= o.limit {
			o.last++
			c.Sequence = o.last
			o.pending = append(o.pending, sized{c, size})
			o.bytes += size
			o.mu.Unlock()
			signal(o.more)
			return nil
		}
		o.mu.Unlock()
		select {
		case <-o.space:
		case <-o.gone:
			return errAbandoned
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// seal puts the terminal chunk, without waiting for room.
func (o *outbox) seal(c *tightbeampb.TurnResultChunk) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sealed {
		return
	}
	o.sealed = true
	o.last++
	c.Sequence = o.last
	size := proto.Size(c)
	o.pending = append(o.pending, sized{c, size})
	o.bytes += size
	signal(o.more)
}

// next returns the chunk behind sequence after, waiting for one. It returns nil
// once there will be none.
func (o *outbox) next(ctx context.Context, after int64) (*tightbeampb.TurnResultChunk, error) {
	for {
		o.mu.Lock()
		if i := max(after-o.acked, 0); i < int64(len(o.pending)) {
			c := o.pending[i].chunk
			o.mu.Unlock()
			return c, nil
		}
		sealed := o.sealed
		o.mu.Unlock()
		if sealed {
			return nil, nil
		}
		select {
		case <-o.more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// ack forgets the chunks up to that sequence. A number that was never sent is
// not believed.
func (o *outbox) ack(received int64) {
	o.mu.Lock()
	n := min(received, o.last) - o.acked
	for i := int64(0); i < n; i++ {
		o.bytes -= o.pending[i].bytes
		o.pending[i] = sized{}
	}
	if n > 0 {
		o.pending = o.pending[n:]
		o.acked += n
	}
	o.mu.Unlock()
	if n > 0 {
		signal(o.space)
	}
}

// done reports whether all is durable, the terminal chunk included.
func (o *outbox) done() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sealed && len(o.pending) == 0
}

// durable is the last sequence that was acknowledged.
func (o *outbox) durable() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.acked
}
