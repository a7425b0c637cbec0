// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// answer is what the server does with one connection.
type answer func(w http.ResponseWriter, after int64)

// serve answers the first connection by the first answer and so on; the last
// one answers all that follow.
func serve(t *testing.T, answers ...answer) (*rest.Config, *[]int64) {
	t.Helper()
	var mu sync.Mutex
	var cursors []int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if want := "/apis/tightbeam.dev/v1/namespaces/ns/turns/t/log"; r.URL.Path != want {
			t.Errorf("path %s, want %s", r.URL.Path, want)
		}
		if r.URL.Query().Get("follow") != "true" {
			t.Errorf("query %s does not follow", r.URL.RawQuery)
		}
		after, err := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		cursors = append(cursors, after)
		answer := answers[min(len(cursors), len(answers))-1]
		mu.Unlock()
		answer(w, after)
	}))
	t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL}, &cursors
}

func event(number int64, text string) tightbeamv1.TurnEvent {
	return tightbeamv1.TurnEvent{Number: number, Type: tightbeamv1.TurnEventBlockDelta, Text: text}
}

func terminal(number int64) tightbeamv1.TurnEvent {
	return tightbeamv1.TurnEvent{Number: number, Type: tightbeamv1.TurnEventCompleted}
}

func line(e tightbeamv1.TurnEvent) string {
	raw, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	return string(raw) + "\n"
}

// sends writes the pieces, each as a chunk of its own, and ends well.
func sends(pieces ...string) answer {
	return func(w http.ResponseWriter, _ int64) {
		for _, piece := range pieces {
			fmt.Fprint(w, piece)
			w.(http.Flusher).Flush()
		}
	}
}

// breaks writes the pieces and breaks the connection.
func breaks(pieces ...string) answer {
	return func(w http.ResponseWriter, after int64) {
		sends(pieces...)(w, after)
		panic(http.ErrAbortHandler)
	}
}

func refuses(status *apierrors.StatusError) answer {
	return func(w http.ResponseWriter, _ int64) {
		s := status.Status()
		s.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
		w.Header().Set("Content-Type", "application/json")
		if s.Details != nil && s.Details.RetryAfterSeconds > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(s.Details.RetryAfterSeconds)))
		}
		w.WriteHeader(int(s.Code))
		_ = json.NewEncoder(w).Encode(s)
	}
}

// read reads to the end.
func read(ctx context.Context, config *rest.Config, after int64) (text string, numbers []int64, err error) {
	for e, err := range Stream(ctx, config, "ns", "t", after) {
		if err != nil {
			return text, numbers, err
		}
		text += e.Text
		numbers = append(numbers, e.Number)
	}
	return text, numbers, nil
}

func TestStreamIsWholeWhateverTheConnectionDoes(t *testing.T) {
	t.Parallel()
	cut := line(event(2, "grüß dich"))
	inCharacter := strings.Index(cut, "ü") + 1
	for _, test := range []struct {
		name    string
		answers []answer
		after   int64
		text    string
		numbers string
		cursors string
	}{{
		name:    "one connection",
		answers: []answer{sends(line(event(1, "a")), line(event(2, "b")), line(terminal(3)))},
		text:    "ab", numbers: "[1 2 3]", cursors: "[0]",
	}, {
		name:    "several events in one piece",
		answers: []answer{sends(line(event(1, "a")) + line(event(2, "b")) + line(terminal(3)))},
		text:    "ab", numbers: "[1 2 3]", cursors: "[0]",
	}, {
		name:    "one event in many pieces, split within a character",
		answers: []answer{sends(line(event(1, "a"))+cut[:inCharacter], cut[inCharacter:inCharacter+1], cut[inCharacter+1:], line(terminal(3)))},
		text:    "agrüß dich", numbers: "[1 2 3]", cursors: "[0]",
	}, {
		name:    "broken within a line",
		answers: []answer{breaks(line(event(1, "a"))+cut[:len(cut)/2], ""), sends(cut, line(terminal(3)))},
		text:    "agrüß dich", numbers: "[1 2 3]", cursors: "[0 1]",
	}, {
		name:    "ended well within a line that would do without its newline",
		answers: []answer{sends(line(event(1, "a")), strings.TrimSuffix(line(terminal(3)), "\n")), sends(cut, line(terminal(3)))},
		text:    "agrüß dich", numbers: "[1 2 3]", cursors: "[0 1]",
	}, {
		name:    "ended well between lines",
		answers: []answer{sends(line(event(1, "a"))), sends(line(event(2, "b"))), sends(line(terminal(3)))},
		text:    "ab", numbers: "[1 2 3]", cursors: "[0 1 2]",
	}, {
		name:    "broken before the first byte",
		answers: []answer{breaks(), sends(line(event(1, "a")), line(terminal(2)))},
		text:    "a", numbers: "[1 2]", cursors: "[0 0]",
	}, {
		name:    "a server that sends again what was read",
		answers: []answer{breaks(line(event(1, "a")), line(event(2, "b"))), sends(line(event(1, "a")), line(event(2, "b")), line(terminal(3)))},
		text:    "ab", numbers: "[1 2 3]", cursors: "[0 2]",
	}, {
		name:    "numbers that were given up",
		answers: []answer{sends(line(event(1, "a")), line(tightbeamv1.TurnEvent{Number: 101, Type: tightbeamv1.TurnEventResumed, LostFrom: 2, LostTo: 100}), line(terminal(102)))},
		text:    "a", numbers: "[1 101 102]", cursors: "[0]",
	}, {
		name:    "empty lines that keep it alive",
		answers: []answer{sends("\n", line(event(1, "a")), "\r\n\n", line(terminal(2)))},
		text:    "a", numbers: "[1 2]", cursors: "[0]",
	}, {
		name:    "a large event",
		answers: []answer{sends(line(event(1, strings.Repeat("x", 1<<20))), line(terminal(2)))},
		text:    strings.Repeat("x", 1<<20), numbers: "[1 2]", cursors: "[0]",
	}, {
		name:    "begun in the middle",
		answers: []answer{sends(line(event(8, "h")), line(terminal(9)))}, after: 7,
		text: "h", numbers: "[8 9]", cursors: "[7]",
	}, {
		name: "a server that is busy, restarts and is busy again",
		answers: []answer{
			refuses(apierrors.NewTooManyRequests("busy", 1)),
			sends(line(event(1, "a"))),
			refuses(apierrors.NewServiceUnavailable("starting")),
			refuses(apierrors.NewInternalError(errors.New("oh"))),
			sends(line(terminal(2))),
		},
		text: "a", numbers: "[1 2]", cursors: "[0 0 1 1 1]",
	}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			config, cursors := serve(t, test.answers...)
			text, numbers, err := read(t.Context(), config, test.after)
			if err != nil {
				t.Fatal(err)
			}
			if text != test.text || fmt.Sprint(numbers) != test.numbers {
				t.Errorf("read %q %v, want %q %s", text, numbers, test.text, test.numbers)
			}
			if fmt.Sprint(*cursors) != test.cursors {
				t.Errorf("connections began after %v, want %s", *cursors, test.cursors)
			}
		})
	}
}

func TestRefusalEndsTheStreamAndIsTold(t *testing.T) {
	t.Parallel()
	turns := tightbeamv1.Resource("turns")
	for _, test := range []struct {
		status *apierrors.StatusError
		is     func(error) bool
	}{
		{apierrors.NewNotFound(turns, "t"), apierrors.IsNotFound},
		{apierrors.NewForbidden(turns, "t", errors.New("no")), apierrors.IsForbidden},
		{apierrors.NewUnauthorized("who are you"), apierrors.IsUnauthorized},
		{apierrors.NewResourceExpired("compacted"), apierrors.IsResourceExpired},
		{apierrors.NewBadRequest("after is from the future"), apierrors.IsBadRequest},
	} {
		t.Run(string(test.status.ErrStatus.Reason), func(t *testing.T) {
			t.Parallel()
			config, cursors := serve(t, sends(line(event(1, "a"))), refuses(test.status))
			text, _, err := read(t.Context(), config, 0)
			if text != "a" || !test.is(err) || !strings.Contains(err.Error(), "ns/t") {
				t.Errorf("read %q, %v", text, err)
			}
			if len(*cursors) != 2 {
				t.Errorf("%d connections, want 2", len(*cursors))
			}
		})
	}
}

func TestWhatIsNoEventEndsTheStream(t *testing.T) {
	t.Parallel()
	for name, sent := range map[string]string{
		"a page of HTML": "<html>\n", "a number": "7\n", "half an event": `{"number":1` + "\n", "a string for a number": `{"number":"1"}` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config, _ := serve(t, sends(sent))
			_, _, err := read(t.Context(), config, 0)
			var malformed *malformedError
			if !errors.As(err, &malformed) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestReaderMayGoAway(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	config, _ := serve(t, func(w http.ResponseWriter, after int64) {
		sends(line(event(1, "a")))(w, after)
		for {
			if _, err := fmt.Fprintln(w); err != nil {
				close(gone)
				return
			}
			w.(http.Flusher).Flush()
			time.Sleep(time.Millisecond)
		}
	})
	t.Run("by leaving the loop", func(t *testing.T) {
		for _, err := range Stream(t.Context(), config, "ns", "t", 0) {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		<-gone
	})
}

func TestContextEndsTheStream(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	quiet := make(chan struct{})
	defer close(quiet)
	config, _ := serve(t, func(w http.ResponseWriter, after int64) {
		sends(line(event(1, "a")))(w, after)
		<-quiet
	})
	var last error
	for _, err := range Stream(ctx, config, "ns", "t", 0) {
		last = err
		cancel()
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("error is %v", last)
	}
}

func TestServerThatStaysAwayIsGivenUp(t *testing.T) {
	t.Parallel()
	for attempt := range 200 {
		if d := wait(attempt, nil); d <= 0 || d > lastWait+1 {
			t.Fatalf("wait %d is %s", attempt, d)
		}
	}
	if d := wait(0, apierrors.NewTooManyRequests("busy", 20)); d < 10*time.Second {
		t.Errorf("a server that asks for 20 s is asked again after %s", d)
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("{\"number\":1}\n\n{\"number\":2}\r\n{"))
	f.Add([]byte(strings.Repeat("x", 5000) + "\n"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		var got []string
		lines := newLineReader(strings.NewReader(string(stream)))
		for {
			line, err := lines.next()
			if err != nil {
				break
			}
			got = append(got, string(line))
		}
		// The law: all lines that end, without white space around them and
		// without the empty ones.
		var want []string
		rest := string(stream)
		for {
			line, more, found := strings.Cut(rest, "\n")
			if !found {
				break
			}
			if line = strings.TrimSpace(line); line != "" {
				want = append(want, line)
			}
			rest = more
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || len(got) != len(want) {
			t.Errorf("lines %q, want %q", got, want)
		}
	})
}
