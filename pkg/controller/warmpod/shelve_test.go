// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpod

import (
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/controller/loop"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	"safebeam.dev/safebeam/pkg/gateway/warmpods"
)

// shelving is a pod that is put on the shelf, and its loop, whose rounds the test
// makes by itself.
type shelving struct {
	*Controller
	clock  *clocktesting.FakeClock
	pod    *v1.WarmPod
	server *sandboxes.Server
	// connection ends for good when the server forgets the pod.
	connection *sandboxes.Sandbox
	// due gets the names whose round the loop would make.
	due chan cache.ObjectName
}

func newShelving(t *testing.T) *shelving {
	t.Helper()
	s := &shelving{clock: clocktesting.NewFakeClock(time.Now()), due: make(chan cache.ObjectName, 10)}
	s.server, _ = gateway(t)
	s.connection = s.server.Sandbox("pod")
	shelf := warmpods.NewShelf(s.clock, nil)
	shelf.SetPool(warmpods.Pool{NamespacedName: types.NamespacedName{Namespace: "ns", Name: "pool"}, UID: "pool"})
	s.Controller = &Controller{Options: Options{Shelf: shelf, Clock: s.clock}, known: map[types.UID]*memory{}}
	s.pods = loop.New("shelving", 1, s.clock, func(_ context.Context, name cache.ObjectName) (time.Duration, error) {
		s.due <- name
		return 0, nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.pods.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	s.pod = &v1.WarmPod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "pod", UID: "warmpod"},
		Spec:       v1.WarmPodSpec{PoolRef: v1.ObjectReference{Name: "pool"}},
		Status:     v1.WarmPodStatus{Phase: v1.WarmPodReady, PoolUID: "pool"},
	}
	if err := s.look(t); err != nil {
		t.Fatal(err)
	}
	if !shelf.Has(s.pod.UID) {
		t.Fatal("a vacant pod is not put on the shelf")
	}
	return s
}

func (s *shelving) look(t *testing.T) error {
	return s.shelve(t.Context(), s.pod, "pod", s.connection)
}

// TestAPodOnTheShelfIsAskedOnceWhenItHasComeToRest sees what is asked by what comes
// of it where the pod has gone without a word: that is an error, or known by now and
// the pod leaves the shelf.
func TestAPodOnTheShelfIsAskedOnceWhenItHasComeToRest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		// looks are when the loop comes by, since the pod was put there.
		looks []time.Duration
		// goes: before the last look, which tells by asked whether it asks.
		goes, asked bool
	}{
		{"a pod that is there stays", []time.Duration{0, restTime, 2 * restTime}, false, false},
		{"not before its time", []time.Duration{0, restTime - 1}, true, false},
		{"at its time", []time.Duration{0, restTime}, true, true},
		{"later, if the loop is late", []time.Duration{3 * restTime}, true, true},
		{"once", []time.Duration{restTime, 2 * restTime}, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newShelving(t)
			began := s.clock.Now()
			for i, look := range c.looks {
				last := i == len(c.looks)-1
				if last && c.goes {
					s.server.Forget("pod")
				}
				s.clock.SetTime(began.Add(look))
				err := s.look(t)
				if asked := err != nil || !s.Shelf.Has(s.pod.UID); asked != (last && c.asked) {
					t.Errorf("after %v: %v, on the shelf: %v", look, err, s.Shelf.Has(s.pod.UID))
				}
			}
		})
	}
}

func TestTheLoopComesByWhenAPodOnTheShelfIsToBeAsked(t *testing.T) {
	t.Parallel()
	s := newShelving(t)
	select {
	case <-s.due:
		t.Error("the loop comes by at once")
	default:
	}
	s.clock.Step(restTime)
	if name := <-s.due; name != cache.MetaObjectToName(s.pod) {
		t.Errorf("the loop comes by for %v", name)
	}
}
