// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package gemini

import (
	"context"
	"io"
	"net/http"

	"safebeam.dev/safebeam/pkg/provider/internal/sse"
)

// tap reads the events of a stream and hands each on to the SDK in the one form
// that it takes (a single data line; it fails on comments and on event names),
// and keeps the bytes for next. The SDK yields one answer an event, in order.
type tap struct {
	body   io.ReadCloser
	events *sse.Reader
	kept   [][]byte
	out    []byte
	err    error
}

type tapKey struct{}

func withTap(ctx context.Context) (context.Context, *tap) {
	t := &tap{}
	return context.WithValue(ctx, tapKey{}, t), t
}

// next is the event of the answer that the SDK yielded.
func (t *tap) next() []byte {
	if len(t.kept) == 0 {
		return nil
	}
	ev := t.kept[0]
	t.kept = t.kept[1:]
	return ev
}

func (t *tap) Read(p []byte) (int, error) {
	if len(t.out) == 0 {
		ev, err := t.events.Next()
		if err != nil {
			if err != io.EOF {
				t.err = err
			}
			return 0, err
		}
		// A line break within the data would end the SDK's event; in JSON it
		// means no more than a space.
		for i, c := range ev.Data {
			if c == '\n' {
				ev.Data[i] = ' '
			}
		}
		t.kept = append(t.kept, ev.Data)
		t.out = append(append([]byte("data: "), ev.Data...), "\n\n"...)
	}
	n := copy(p, t.out)
	t.out = t.out[n:]
	return n, nil
}

func (t *tap) Close() error { return t.body.Close() }

// tapTransport puts a tap on the answer to a call that has one.
type tapTransport struct{ base http.RoundTripper }

func (t tapTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(req)
	if err != nil || resp.StatusCode >= 300 {
		return resp, err
	}
	if tp, ok := req.Context().Value(tapKey{}).(*tap); ok {
		tp.body, tp.events = resp.Body, sse.NewReader(resp.Body)
		resp.Body = tp
	}
	return resp, nil
}
