// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sse

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func all(t *testing.T, r *Reader) ([]Event, error) {
	t.Helper()
	var evs []Event
	for {
		ev, err := r.Next()
		if err != nil {
			return evs, err
		}
		evs = append(evs, ev)
	}
}

func TestEventsAreReadAsServersWriteThem(t *testing.T) {
	big := strings.Repeat("é", 1<<20)
	for name, tc := range map[string]struct {
		in   string
		want []Event
	}{
		"LF":                             {"event: a\ndata: 1\n\ndata: 2\n\n", []Event{{"a", []byte("1")}, {"", []byte("2")}}},
		"CRLF":                           {"event: a\r\ndata: 1\r\n\r\ndata: 2\r\n\r\n", []Event{{"a", []byte("1")}, {"", []byte("2")}}},
		"CR":                             {"data: 1\r\rdata: 2\r\r", []Event{{"", []byte("1")}, {"", []byte("2")}}},
		"no space after the colon":       {"data:1\n\n", []Event{{"", []byte("1")}}},
		"only one space is dropped":      {"data:  1\n\n", []Event{{"", []byte(" 1")}}},
		"comments":                       {": keep-alive\n\n: x\ndata: 1\n: y\n\n", []Event{{"", []byte("1")}}},
		"several data lines":             {"data: 1\ndata: 2\n\n", []Event{{"", []byte("1\n2")}}},
		"an event without data is none":  {"event: a\n\ndata: 1\n\n", []Event{{"", []byte("1")}}},
		"byte order mark":                {"\xef\xbb\xbfdata: 1\n\n", []Event{{"", []byte("1")}}},
		"no blank line at the end":       {"data: [DONE]\n", []Event{{"", []byte("[DONE]")}}},
		"a line cut off is not an event": {"data: 1\n\ndata: 2", []Event{{"", []byte("1")}}},
		"empty data":                     {"data:\n\n", []Event{{"", nil}}},
		"unknown fields":                 {"id: 4\nretry: 5\nfoo\ndata: 1\n\n", []Event{{"", []byte("1")}}},
		"a line of two megabytes":        {"data: " + big + "\n\n", []Event{{"", []byte(big)}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for how, rd := range map[string]io.Reader{
				"whole":            strings.NewReader(tc.in),
				"byte by byte":     iotest.OneByteReader(strings.NewReader(tc.in)),
				"data with an EOF": iotest.DataErrReader(strings.NewReader(tc.in)),
			} {
				if how == "byte by byte" && len(tc.in) > 1<<20 {
					rd = iotest.HalfReader(strings.NewReader(tc.in))
				}
				got, err := all(t, NewReader(rd))
				if !errors.Is(err, io.EOF) {
					t.Fatalf("%s: error %v, want EOF", how, err)
				}
				if !reflect.DeepEqual(tc.want, got) {
					t.Errorf("%s: got %.200q, want %.200q", how, got, tc.want)
				}
			}
		})
	}
}

func TestABrokenConnectionIsNoEnd(t *testing.T) {
	broken := errors.New("connection reset")
	r := NewReader(io.MultiReader(strings.NewReader("data: 1\n\ndata: 2\n"), iotest.ErrReader(broken)))
	evs, err := all(t, r)
	if !errors.Is(err, broken) || len(evs) != 1 {
		t.Errorf("got %d events and %v, want 1 and the connection's error", len(evs), err)
	}
}

func TestAnEventAboveTheLimitIsRefused(t *testing.T) {
	for name, in := range map[string]string{
		"one line":         "data: " + strings.Repeat("x", 100) + "\n\n",
		"many lines":       strings.Repeat("data: xxxx\n", 30) + "\n",
		"without any line": strings.Repeat("x", 100),
	} {
		if _, err := all(t, NewReaderLimit(strings.NewReader(in), 64)); !errors.Is(err, ErrTooLong) {
			t.Errorf("%s: error %v, want ErrTooLong", name, err)
		}
	}
}

// An event must not wait for the byte after it, or every token would come one
// token late.
func TestAnEventIsReturnedBeforeTheNextByteArrives(t *testing.T) {
	for _, end := range []string{"\n\n", "\r\n\r\n", "\r\r"} {
		pr, pw := io.Pipe()
		got := make(chan Event, 1)
		go func() {
			ev, _ := NewReader(pr).Next()
			got <- ev
		}()
		if _, err := pw.Write([]byte("data: 1" + end)); err != nil {
			t.Fatal(err)
		}
		select {
		case ev := <-got:
			if string(ev.Data) != "1" {
				t.Errorf("%q: data %q", end, ev.Data)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%q: the event waits for another byte", end)
		}
		_ = pw.Close()
	}
}

// reference reads a whole stream as the specification of server-sent events
// has it, but that a stream's end ends its last event.
func reference(in []byte) []Event {
	text := strings.TrimPrefix(string(in), "\xef\xbb\xbf")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(text, "\n")
	lines = lines[:len(lines)-1] // no line end: cut off
	var out []Event
	var data []string
	var kind string
	dispatch := func() {
		if data != nil {
			out = append(out, Event{kind, []byte(strings.Join(data, "\n"))})
		}
		data, kind = nil, ""
	}
	for _, line := range lines {
		field, value := line, ""
		if i := strings.IndexByte(line, ':'); i >= 0 {
			field, value = line[:i], line[i+1:]
			if value != "" && value[0] == ' ' {
				value = value[1:]
			}
		}
		switch {
		case line == "":
			dispatch()
		case field == "data":
			data = append(data, value)
		case field == "event":
			kind = value
		}
	}
	dispatch()
	return out
}

// FuzzReader: the events are those of the reference, wherever the network
// splits the bytes; with a limit they are those before the first that is above
// it.
func FuzzReader(f *testing.F) {
	f.Add([]byte("event: a\r\ndata: 1\r\n\r\n"), uint8(3))
	f.Add([]byte(": c\ndata:1\rdata: 2\n\n"), uint8(1))
	f.Add([]byte("\xef\xbb\xbfdata: \xf0\x9f\x98"), uint8(2))
	f.Add([]byte("data\nevent\n\ndata: x\r"), uint8(0))
	f.Add([]byte("data: 1\n\nevent: b\n\ndata: "+strings.Repeat("x", 70)+"\n\n"), uint8(5))
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		const small = 64
		want := reference(in)
		for name, rd := range map[string]io.Reader{"whole": bytes.NewReader(in), "in pieces": &stepReader{in, int(step%16) + 1}} {
			got, err := all(t, NewReaderLimit(rd, len(in)+1))
			if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" || !errors.Is(err, io.EOF) {
				t.Fatalf("%s: %v (-want +got)\n%s", name, err, d)
			}
		}
		limited, err := all(t, NewReaderLimit(&stepReader{in, int(step%16) + 1}, small))
		if len(limited) > len(want) || !cmp.Equal(want[:len(limited)], limited, cmpopts.EquateEmpty()) {
			t.Fatalf("with a limit the events are others: %v", limited)
		}
		switch {
		case errors.Is(err, io.EOF) && len(limited) != len(want):
			t.Fatalf("%d of %d events, and no error", len(limited), len(want))
		case errors.Is(err, ErrTooLong) && len(in) <= small:
			t.Fatal("a stream within the limit is above it")
		}
		for _, ev := range limited {
			if len(ev.Data) > small {
				t.Fatalf("an event of %d bytes passed the limit", len(ev.Data))
			}
		}
	})
}

type stepReader struct {
	in   []byte
	step int
}

func (s *stepReader) Read(p []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.in[:min(s.step, len(s.in))])
	s.in = s.in[n:]
	return n, nil
}
