// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package remotecommand

import (
	"bytes"
	"errors"
	"io"
	"net/url"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

func TestStdinCarriesEverythingInOrder(t *testing.T) {
	t.Parallel()
	s := newStdin()
	want := bytes.Repeat([]byte("0123456789abcdef"), 3*stdinRoom/16)
	go func() {
		for i := 0; i < len(want); i += 1000 {
			if err := s.put(want[i:min(i+1000, len(want))], time.Hour, nil); err != nil {
				t.Error(err)
			}
		}
		s.end()
	}()
	if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
	}
}

func TestWhoeverWaitsForRoomBeats(t *testing.T) {
	t.Parallel()
	s := newStdin()
	beats, gone := 0, errors.New("gone")
	err := s.put(make([]byte, stdinRoom+1), time.Millisecond, func() error {
		if beats++; beats == 3 {
			return gone
		}
		return nil
	})
	if !errors.Is(err, gone) || beats != 3 {
		t.Errorf("%d beats, %v", beats, err)
	}
}

func TestStdinThatNobodyWantsIsThrownAway(t *testing.T) {
	t.Parallel()
	s := newStdin()
	waiting := make(chan error, 1)
	go func() { waiting <- s.put(make([]byte, 2*stdinRoom), time.Hour, nil) }()
	if _, err := io.ReadFull(s, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := <-waiting; err != nil {
		t.Error(err)
	}
	if err := s.put(make([]byte, 100*stdinRoom), time.Hour, nil); err != nil {
		t.Error(err)
	}
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v", err)
	}
}

func TestTheNewestSizeCounts(t *testing.T) {
	t.Parallel()
	sizes := make(chan Size, 1)
	for i := range uint16(10) {
		replace(sizes, Size{Width: i})
	}
	if size := <-sizes; size.Width != 9 {
		t.Errorf("%+v", size)
	}
}

func TestParseOptions(t *testing.T) {
	t.Parallel()
	o, err := ParseOptions(url.Values{"command": {"sh", "-c", "a\nb"}, "stdin": {"true"}, "stdout": {"1"}, "stderr": {"true"}, "tty": {"true"}})
	if err != nil || len(o.Command) != 3 || !o.Stdin || !o.Stdout || !o.TTY {
		t.Errorf("%+v, %v", o, err)
	}
	if o.Stderr {
		t.Error("a terminal has two outputs")
	}
	many := make([]string, maxArguments+1)
	many[0] = "a"
	if _, err := ParseOptions(url.Values{"command": many, "stdout": {"true"}}); !apierrors.IsBadRequest(err) {
		t.Errorf("%v", err)
	}
}
