// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turn

import (
	"context"
	"errors"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/request"

	"safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/registry/stream"
)

// turnToCome is the storage and the events of one turn, which is not there at
// first.
type turnToCome struct {
	Events
	// unfinished: the broker knows it; else only the storage does.
	unfinished bool
	stored     *v1.Turn
	// there is closed by who creates it.
	there chan struct{}
	// asked: somebody waits. left: nobody does any longer.
	asked, left chan struct{}
}

func newTurnToCome() *turnToCome {
	return &turnToCome{there: make(chan struct{}), asked: make(chan struct{}), left: make(chan struct{})}
}

func (c *turnToCome) created() bool {
	select {
	case <-c.there:
		return true
	default:
		return false
	}
}

func (c *turnToCome) Unfinished(namespace, name string) *v1.Turn {
	if c.unfinished && c.created() && namespace == "ns" && name == "t" {
		return c.stored
	}
	return nil
}

func (c *turnToCome) Get(_ context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	if !c.created() || name != "t" {
		return nil, apierrors.NewNotFound(v1.Resource("turns"), name)
	}
	return c.stored, nil
}

func (c *turnToCome) Created(string, string) (<-chan struct{}, func()) {
	close(c.asked)
	return c.there, func() { close(c.left) }
}

func (c *turnToCome) find(ctx context.Context, wait time.Duration) (*v1.Turn, error) {
	return (&LogREST{turns: c, events: c}).find(request.WithNamespace(ctx, "ns"), "t", wait)
}

func TestWhoWaitsForATurnGetsIt(t *testing.T) {
	t.Parallel()
	for _, unfinished := range []bool{true, false} { // by then it may have ended
		c := newTurnToCome()
		c.unfinished, c.stored = unfinished, &v1.Turn{}
		go func() {
			<-c.asked
			close(c.there)
		}()
		if turn, err := c.find(t.Context(), time.Hour); turn != c.stored || err != nil {
			t.Errorf("got %v, %v", turn, err)
		}
		<-c.left
	}
}

func TestATurnThatIsThereIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	c := newTurnToCome()
	c.stored = &v1.Turn{}
	close(c.there)
	for _, wait := range []time.Duration{0, time.Hour} {
		if turn, err := c.find(t.Context(), wait); turn != c.stored || err != nil {
			t.Errorf("wait %v: got %v, %v", wait, turn, err)
		}
	}
	<-c.left
}

func TestATurnThatDoesNotComeIsNotFound(t *testing.T) {
	t.Parallel()
	c := newTurnToCome()
	if _, err := c.find(t.Context(), 0); !apierrors.IsNotFound(err) {
		t.Errorf("without a wait: %v", err)
	}
	select {
	case <-c.asked:
		t.Error("it was waited for")
	default:
	}
	if _, err := c.find(t.Context(), time.Millisecond); !apierrors.IsNotFound(err) {
		t.Errorf("after the wait: %v", err)
	}
	<-c.left
}

func TestAWaitEndsWithItsReaderAndWithTheServer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		why     error
		refused func(error) bool
	}{
		{errors.New("the reader went away"), apierrors.IsNotFound},
		{stream.ErrStopping, apierrors.IsServiceUnavailable},
	} {
		turn := newTurnToCome()
		ctx, end := context.WithCancelCause(t.Context())
		go func() {
			<-turn.asked
			end(c.why)
		}()
		if _, err := turn.find(ctx, time.Hour); !c.refused(err) {
			t.Errorf("%v: got %v", c.why, err)
		}
		<-turn.left
	}
}
