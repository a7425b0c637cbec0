// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// script is a Reader whose batches a test feeds.
type script struct {
	batches chan []Record
	err     error
	closed  chan struct{}
}

func newScript(batches ...[]Record) *script {
	s := &script{batches: make(chan []Record, 16), err: io.EOF, closed: make(chan struct{})}
	for _, batch := range batches {
		s.batches <- batch
	}
	return s
}

func (s *script) end(err error) *script {
	s.err = err
	close(s.batches)
	return s
}

func (s *script) Next(ctx context.Context) ([]Record, error) {
	select {
	case batch, ok := <-s.batches:
		if !ok {
			return nil, s.err
		}
		return batch, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *script) Close() { close(s.closed) }

func record(number int64) Record {
	return Record{Number: number, Data: fmt.Appendf(nil, `{"number":%d}`, number)}
}

// statuses writes typed errors as a test can read them.
type statuses struct{ w http.ResponseWriter }

func (s statuses) Object(code int, _ runtime.Object) { s.w.WriteHeader(code) }

func (s statuses) Error(err error) {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		http.Error(s.w, err.Error(), http.StatusTeapot)
		return
	}
	body, _ := json.Marshal(status.Status())
	s.w.WriteHeader(int(status.Status().Code))
	_, _ = s.w.Write(body)
}

// serve starts a server for one stream.
func serve(t *testing.T, s *Server, open func(*http.Request) (Reader, error)) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Handler(statuses{w}, open).ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server
}

func get(t *testing.T, url string, header ...string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}

func only(r Reader) func(*http.Request) (Reader, error) {
	return func(*http.Request) (Reader, error) { return r, nil }
}

func TestRecordsComeInTheFormThatIsAccepted(t *testing.T) {
	t.Parallel()
	lines := "{\"number\":1}\n{\"number\":2}\n{\"number\":5}\n"
	events := "id: 1\ndata: {\"number\":1}\n\nid: 2\ndata: {\"number\":2}\n\nid: 5\ndata: {\"number\":5}\n\n"
	for accept, want := range map[string]struct{ contentType, body string }{
		"":                       {mediaTypeNDJSON, lines},
		"application/json, */*":  {mediaTypeNDJSON, lines},
		"application/x-ndjson":   {mediaTypeNDJSON, lines},
		"text/event-stream":      {mediaTypeSSE, events},
		"text/event-stream, */*": {mediaTypeSSE, events},
		"application/json;q=0.5,text/event-stream":  {mediaTypeSSE, events},
		"application/json, text/event-stream;q=0.5": {mediaTypeNDJSON, lines},
		"text/event-stream;q=0":                     {mediaTypeNDJSON, lines},
	} {
		t.Run(accept, func(t *testing.T) {
			t.Parallel()
			reader := newScript([]Record{record(1)}, []Record{record(2), record(5)}).end(io.EOF)
			response := get(t, serve(t, &Server{}, only(reader)).URL, "Accept", accept)
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			if got := response.Header.Get("Content-Type"); got != want.contentType || string(body) != want.body {
				t.Errorf("got %s:\n%swant %s:\n%s", got, body, want.contentType, want.body)
			}
			<-reader.closed
		})
	}
}

func TestARecordIsFlushedAsItComes(t *testing.T) {
	t.Parallel()
	reader := newScript()
	response := get(t, serve(t, &Server{}, only(reader)).URL) // returns: the head is flushed before anything is there
	lines := bufio.NewScanner(response.Body)
	for number := int64(1); number <= 3; number++ {
		reader.batches <- []Record{record(number)} // the next only after this one has been read
		if !lines.Scan() || lines.Text() != string(record(number).Data) {
			t.Fatalf("got %q, %v; want record %d", lines.Text(), lines.Err(), number)
		}
	}
}

func TestAQuietStreamSaysThatItLives(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]string{mediaTypeNDJSON: "\n", mediaTypeSSE: ": idle\n"} {
		t.Run(accept, func(t *testing.T) {
			t.Parallel()
			response := get(t, serve(t, &Server{Idle: time.Millisecond}, only(newScript())).URL, "Accept", accept)
			got, err := bufio.NewReader(response.Body).ReadString('\n')
			if err != nil || got != want {
				t.Errorf("got %q, %v; want %q", got, err, want)
			}
		})
	}
}

func TestAStreamEndsWholeWhenTheServerStops(t *testing.T) {
	t.Parallel()
	stopping := make(chan struct{})
	reader := newScript([]Record{record(1)})
	response := get(t, serve(t, &Server{Stopping: stopping}, only(reader)).URL)
	body := bufio.NewReader(response.Body)
	if _, err := body.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	close(stopping)
	if rest, err := io.ReadAll(body); err != nil || len(rest) > 0 {
		t.Errorf("after the stop came %q, %v; want a clean end", rest, err)
	}
	<-reader.closed
}

func TestAFailureOnTheWayBreaksTheStreamOff(t *testing.T) {
	t.Parallel()
	reader := newScript([]Record{record(1)}).end(errors.New("the disk is gone"))
	body, err := io.ReadAll(get(t, serve(t, &Server{}, only(reader)).URL).Body)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %q, %v; want an unexpected end", body, err)
	}
	<-reader.closed
}

func TestAReaderThatGoesAwayIsClosed(t *testing.T) {
	t.Parallel()
	reader := newScript()
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, serve(t, &Server{}, only(reader)).URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	cancel()
	<-reader.closed
}

func TestTooManyStreamsAreRefused(t *testing.T) {
	t.Parallel()
	server := serve(t, &Server{Max: 1}, func(*http.Request) (Reader, error) { return newScript(), nil })
	first := get(t, server.URL)
	if first.StatusCode != http.StatusOK {
		t.Fatal(first.Status)
	}
	if second := get(t, server.URL); second.StatusCode != http.StatusTooManyRequests {
		t.Errorf("the second stream got %s, want 429", second.Status)
	}
}

func TestACursorThatCannotBeReadFromIsA410(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err  CursorError
		want string
	}{
		"future":  {CursorError{After: 9, Last: 4}, "read again with after=4"},
		"dropped": {CursorError{After: 2, Last: 9, Oldest: 5}, "read again with after=4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			response := get(t, serve(t, &Server{}, func(*http.Request) (Reader, error) { return nil, &test.err }).URL)
			var status metav1.Status
			if err := json.NewDecoder(response.Body).Decode(&status); err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != http.StatusGone || status.Reason != metav1.StatusReasonExpired || !strings.Contains(status.Message, test.want) {
				t.Errorf("got %s: %+v; want a 410 with %q", response.Status, status, test.want)
			}
		})
	}
}

func TestQueryNamesEverythingThatIsWrong(t *testing.T) {
	t.Parallel()
	read := func(url string, header ...string) (int64, error) {
		r := httptest.NewRequest(http.MethodGet, url, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		q := NewQuery(r)
		after := q.After()
		q.Bool("follow", false)
		q.OneOf("view", "raw", "provider")
		q.OneOf("stream", "", "stdout", "stderr")
		return after, q.Err()
	}
	for url, want := range map[string]string{
		"/x?after=-1":                  `after is a number of at least 0, not "-1"`,
		"/x?after=1&after=2":           "after is given 2 times",
		"/x?follow=maybe":              `follow is true or false, not "maybe"`,
		"/x?view=all":                  `view is one of raw, provider, not "all"`,
		"/x?stream=stdin":              `stream is one of stdout, stderr, not "stdin"`,
		"/x?since=3":                   `unknown parameter "since", there is after, follow, stream, view`,
		"/x?after=x&follow=y&color=no": `after is a number`,
	} {
		if _, err := read(url); !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want a 400 with %q", url, err, want)
		}
	}
	_, err := read("/x?after=x&follow=y&color=no")
	if n := len(err.(*apierrors.StatusError).ErrStatus.Details.Causes); n != 3 {
		t.Errorf("got %d causes, want all 3", n)
	}
	if after, err := read("/x?after=3", LastEventID, "7"); err != nil || after != 7 {
		t.Errorf("got %d, %v; the header of a client that reconnects wins", after, err)
	}
	if _, err := read("/x", LastEventID, "seven"); !apierrors.IsBadRequest(err) {
		t.Errorf("got %v, want a 400 for a Last-Event-ID that is no number", err)
	}
}
