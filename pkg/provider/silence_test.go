// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package provider_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"safebeam.dev/safebeam/pkg/provider"
	"safebeam.dev/safebeam/test/fakeprovider"
)

func TestSilentProviderIsGivenUp(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		w.cfg.IdleTimeout = 50 * time.Millisecond
		w.remake()
		for _, frame := range []int{0, 2} {
			reply := full()
			reply.Stall = fakeprovider.At(frame)
			w.fake.Enqueue(reply)
			if pe := w.fail(w.ask("hi")); pe.Class != provider.Timeout || !strings.Contains(pe.Message, "silent for 50ms") {
				t.Errorf("stalled before frame %d: %+v", frame, pe)
			}
		}
	})
}

// What keeps an answer back on our side is no silence of the provider's.
func TestSlowReaderIsNoSilence(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		w.withinIdle(func(idle time.Duration) error {
			w.fake.Enqueue(fakeprovider.Say("one", "two"))
			slept := false
			_, err := w.p.Call(t.Context(), w.ask("hi"), func(ev provider.Event) error {
				if ev.Delta != nil && !slept {
					slept = true
					time.Sleep(idle * 3 / 2) // what is under test is time
				}
				return nil
			})
			return err
		})
	})
}

// withinIdle tries with ever longer idle timeouts what a busy machine may hold up
// for that long: where a law is broken, no timeout is long enough.
func (w *world) withinIdle(try func(idle time.Duration) error) {
	w.t.Helper()
	for idle := time.Second; ; idle *= 2 {
		w.cfg.IdleTimeout = idle
		w.remake()
		err := try(idle)
		var pe *provider.Error
		if err == nil {
			return
		}
		if !errors.As(err, &pe) || pe.Class != provider.Timeout || idle >= 8*time.Second {
			w.t.Fatalf("with an idle timeout of %s: %v", idle, err)
		}
	}
}

func TestKeepAlivesAreSignsOfLife(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		if w.name == fakeprovider.Gemini {
			return // has none
		}
		w.withinIdle(func(idle time.Duration) error {
			reply := fakeprovider.Say("late")
			reply.KeepAlive, reply.Pace = 12, idle*12/100
			w.fake.Enqueue(reply)
			_, res, err := w.call(w.ask("hi"))
			if err == nil && textOf(res) != "late" {
				t.Errorf("%q", textOf(res))
			}
			return err
		})
	})
}

func TestEndedContextEndsTheCall(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		reply := full()
		reply.Stall = fakeprovider.At(-4)
		w.fake.Enqueue(reply, reply)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := w.p.Call(ctx, w.ask("hi"), func(provider.Event) error { return nil })
		var pe *provider.Error
		if !errors.As(err, &pe) || pe.Class != provider.Timeout || !strings.Contains(pe.Message, "deadline") {
			t.Errorf("deadline: %v", err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		_, err = w.p.Call(ctx, w.ask("hi"), func(provider.Event) error { cancel(); return nil })
		if !errors.As(err, &pe) || pe.Class != provider.Timeout || !strings.Contains(pe.Message, "cancelled") {
			t.Errorf("cancel: %v", err)
		}
	})
}

func TestErrorOfTheReaderIsReturnedAsItIs(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, w *world) {
		mine := errors.New("enough")
		_, err := w.p.Call(t.Context(), w.ask("hi"), func(provider.Event) error { return mine })
		if !errors.Is(err, mine) {
			t.Errorf("%v", err)
		}
	})
}
