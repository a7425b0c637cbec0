// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package executions

import (
	"context"
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/events"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	"safebeam.dev/safebeam/pkg/storage/bbolt"
	"safebeam.dev/safebeam/pkg/storage/bbolt/vfs/faultfs"
)

// noConnection has one Running sandbox, to which there is no connection.
type noConnection struct{ sandbox *v1.Sandbox }

func (l noConnection) Get(types.UID) *v1.Sandbox { return l.sandbox }
func (l noConnection) OnChange(func(types.UID))  {}
func (l noConnection) Hold(*v1.Sandbox) (*sandboxes.Sandbox, func(), error) {
	return nil, nil, errors.New("the process of a given up execution is looked for")
}

// interrupted is a runner on a real store that has a Running execution from before a
// crash, whose reader may have seen more of than is durable.
func interrupted(t *testing.T, fs *faultfs.FS) (*Runner, *v1.Execution) {
	t.Helper()
	kept := openStored(t, bbolt.Options{FS: fs})
	inner := kept.raw
	live := noConnection{&v1.Sandbox{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "box", UID: "box"}, Status: v1.SandboxStatus{Phase: v1.SandboxRunning}}}
	r := New(Options{Live: live, Journal: kept.db.Journal(), FlushInterval: time.Hour})
	r.Wrap(inner, "/executions")
	run(t, r)
	object := &v1.Execution{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "one", UID: "one"},
		Spec:       v1.ExecutionSpec{Sandbox: "box", Command: []string{"true"}},
		Status:     v1.ExecutionStatus{Phase: v1.ExecutionRunning, SandboxUID: "box"},
	}
	stored := &v1.Execution{}
	if err := inner.Create(t.Context(), "/executions/ns/one", object, stored, 0); err != nil {
		t.Fatal(err)
	}
	return r, stored
}

// A process that is found again after a crash goes on with the numbers that it had,
// unless somebody was told that they are lost.
func TestNobodyIsToldThatOutputIsLostBeforeItIsDecided(t *testing.T) {
	t.Parallel()
	fs := faultfs.New(1)
	r, object := interrupted(t, fs)
	e := r.newExecution(object, time.Time{})
	if err := e.restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The disk takes the reservation of numbers, and not the end.
	if err := e.numbers.UpTo(t.Context(), e.uncertainTo+2); err != nil {
		t.Fatal(err)
	}
	//lint:ignore ST1008 it is faultfs' order
	fs.SetFault(func(op faultfs.Op, _ string) (error, int) {
		if op == faultfs.OpWrite {
			return errors.New("input/output error"), 0
		}
		return nil, 0
	})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	lost := outcome{phase: v1.ExecutionLost, reason: reasonProcessLost, message: "it is away"}
	if err := e.finish(ctx, lost, true); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an end that is not durable is taken for one: %v", err)
	}
	if shown, _, _, _ := e.hub.After(0); len(shown) > 0 {
		t.Errorf("before anything is decided, readers see %s", shown[0].JSON)
	}
}

func TestAnExecutionIsGivenUpOnceItsReadersMayBeTold(t *testing.T) {
	t.Parallel()
	r, object := interrupted(t, faultfs.New(1))
	resumed := &v1.ExecutionEvent{Number: events.ReserveBlock + 1, Type: v1.ExecutionEventResumed, LostFrom: 1, LostTo: events.ReserveBlock}
	for _, record := range events.Records(outputOwner(object.UID), []events.Event{encode(resumed)}) {
		if err := r.Journal.Append(t.Context(), record); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e := r.find(object.UID); e != nil {
		<-e.left
	}
	ended, err := r.store.Get(t.Context(), "ns", "one")
	if err != nil {
		t.Fatal(err)
	}
	status := &ended.Status
	if status.Phase != v1.ExecutionLost || status.Reason != reasonProcessLost || status.Message != errGivenUp.Error() {
		t.Errorf("%s, %s: %s", status.Phase, status.Reason, status.Message)
	}
	if status.LastEvent <= resumed.Number {
		t.Errorf("its last event is %d, and %d was given out", status.LastEvent, resumed.Number)
	}
}
