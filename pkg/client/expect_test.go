// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// expectTurn expects the turn of serve, and returns what reads it to its end.
// The queries are those that it asks, one after another.
func expectTurn(t *testing.T, answers ...answer) (read func() (text string, err error), queries *[]string) {
	t.Helper()
	queries = new([]string)
	config, _ := serve(t, answers...)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			*queries = append(*queries, r.URL.Query().Get("waitSeconds")+" after "+r.URL.Query().Get("after"))
			return next.RoundTrip(r)
		})
	})
	rest, err := restClient(config)
	if err != nil {
		t.Fatal(err)
	}
	e := Expect(t.Context(), rest, "ns", "t")
	t.Cleanup(e.Close)
	return func() (text string, err error) {
		for event, err := range e.Events() {
			if err != nil {
				return text, err
			}
			text += event.Text
		}
		return text, nil
	}, queries
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAnExpectedTurnIsReadFromItsFirstEvent(t *testing.T) {
	t.Parallel()
	whole := sends(line(event(1, "a")), line(event(2, "b")), line(terminal(3)))
	for _, test := range []struct {
		name    string
		answers []answer
		queries string
	}{
		{"from the stream beside the create", []answer{whole}, "[30 after 0]"},
		{"which is resumed like any other", []answer{breaks(line(event(1, "a"))), sends(line(event(2, "b")), line(terminal(3)))}, "[30 after 0  after 1]"},
		{"from another one if the create took too long", []answer{refuses(apierrors.NewNotFound(tightbeamv1.Resource("turns"), "t")), whole}, "[30 after 0  after 0]"},
		{"from another one if the server does not wait", []answer{refuses(apierrors.NewBadRequest("unknown parameter")), whole}, "[30 after 0  after 0]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			read, queries := expectTurn(t, test.answers...)
			if text, err := read(); text != "ab" || err != nil {
				t.Errorf("got %q, %v", text, err)
			}
			if got := fmt.Sprint(*queries); got != test.queries {
				t.Errorf("asked %s, want %s", got, test.queries)
			}
		})
	}
}

func TestWhatKeepsAReaderFromATurnIsSaid(t *testing.T) {
	t.Parallel()
	read, _ := expectTurn(t, refuses(apierrors.NewForbidden(tightbeamv1.Resource("turns"), "t", nil)))
	if _, err := read(); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "reading turn ns/t") {
		t.Errorf("got %v", err)
	}
}

func TestAnExpectationThatIsGivenUpEndsItsRequest(t *testing.T) {
	t.Parallel()
	asked, gone := make(chan struct{}), make(chan struct{})
	config, _ := serve(t, func(w http.ResponseWriter, _ int64) { panic("not reached") })
	config.Wrap(func(http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			close(asked)
			<-r.Context().Done()
			close(gone)
			return nil, r.Context().Err()
		})
	})
	rest, err := restClient(config)
	if err != nil {
		t.Fatal(err)
	}
	e := Expect(context.Background(), rest, "ns", "t")
	<-asked
	e.Close()
	<-gone
}
