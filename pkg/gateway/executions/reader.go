// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package executions

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/events"
	"safebeam.dev/safebeam/pkg/registry/stream"
)

// Open reads the events of an execution after a number: to the terminal event if
// follow is set, else as far as they are there; of one stream if only is not empty.
func (r *Runner) Open(ctx context.Context, object *v1.Execution, after int64, follow bool, only v1.OutputStream) (stream.Reader, error) {
	e, current, err := r.locate(ctx, object)
	if err != nil {
		return nil, err
	}
	reader := &events.Reader{Journal: r.Journal, Owner: outputOwner(object.UID), After: after, Stopped: r.ctx.Done()}
	var known int64 // the highest number that a reader can have seen
	if e == nil {
		reader.Final = encode(terminalEvent(current))
		known = current.Status.LastEvent
	} else {
		reader.Live = e.hub
		known = max(e.uncertainTo, e.hub.Last())
	}
	if after > known {
		return nil, &stream.CursorError{After: after, Last: known}
	}
	return &logReader{reader: reader, follow: follow, only: only}, nil
}

// locate returns an unfinished execution, or the object of one that has ended.
// Errors are API statuses.
func (r *Runner) locate(ctx context.Context, object *v1.Execution) (*execution, *v1.Execution, error) {
	// An execution is known before it is stored, and forgotten after its end is.
	for wait := time.Millisecond; ; wait *= 2 {
		if e := r.find(object.UID); e != nil {
			return e, nil, nil
		}
		current, err := r.store.Get(ctx, object.Namespace, object.Name)
		if err != nil {
			return nil, nil, err
		}
		if current == nil || current.UID != object.UID {
			return nil, nil, apierrors.NewNotFound(v1.Resource("executions"), object.Name)
		}
		if current.Status.Phase.Terminal() {
			return nil, current, nil
		}
		if wait > time.Second {
			return nil, nil, apierrors.NewServiceUnavailable(fmt.Sprintf("execution %q is not taken up yet; try again", object.Name))
		}
		timer := r.Clock.NewTimer(wait)
		select {
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()
			return nil, nil, ctx.Err()
		}
	}
}

// logReader gives an execution's events as records. They share their bytes.
type logReader struct {
	reader  *events.Reader
	follow  bool
	only    v1.OutputStream
	records []stream.Record
}

// Next implements stream.Reader.
func (l *logReader) Next(ctx context.Context) ([]stream.Record, error) {
	next := l.reader.Next
	if !l.follow {
		next = l.reader.Available
	}
	for {
		batch, err := next(ctx)
		if errors.Is(err, events.ErrStopped) || err == nil && len(batch) == 0 {
			return nil, io.EOF
		}
		l.records = l.records[:0]
		for _, event := range batch {
			if l.wants(event) {
				l.records = append(l.records, stream.Record{Number: event.Number, Data: event.JSON})
			}
		}
		if err != nil || len(l.records) > 0 {
			return l.records, err
		}
	}
}

// wants reports whether an event is of the stream that is asked for, or of none.
func (l *logReader) wants(event events.Event) bool {
	if l.only == "" || event.Last {
		return true
	}
	// Cheaper than decoding the output: the stream comes before it.
	if at := bytes.Index(event.JSON, []byte(`"stream":"`)); at >= 0 {
		return bytes.HasPrefix(event.JSON[at+len(`"stream":"`):], []byte(l.only))
	}
	var head v1.ExecutionEvent
	return json.Unmarshal(event.JSON, &head) == nil && (head.Stream == "" || head.Stream == l.only)
}

// Close implements stream.Reader. The reader holds nothing.
func (l *logReader) Close() {}
