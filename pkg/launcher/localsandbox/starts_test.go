// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package localsandbox

import (
	"errors"
	"testing"
	"time"

	"safebeam.dev/safebeam/pkg/launcher"
)

func (w *world) launchWarm(names ...string) {
	w.t.Helper()
	for _, name := range names {
		spec := specOf(name)
		spec.Owner.Kind = launcher.OwnerWarmPod
		if _, err := w.Launch(w.t.Context(), spec); err != nil {
			w.t.Fatal(err)
		}
	}
}

// nothingStarts fails if another pod starts.
func (w *world) nothingStarts(why string) {
	w.t.Helper()
	select {
	case spec := <-w.machine.started:
		w.t.Fatalf("%s starts: %s", spec.Name, why)
	case <-time.After(20 * time.Millisecond): // a breach would take far less
	}
}

func TestWarmPodsStartAFewAtATimeAndNobodyWaitsBehindThem(t *testing.T) {
	t.Parallel()
	w := begin(t, 10) // with two starts at a time
	w.launchWarm("a", "b", "c", "d")
	<-w.machine.started
	<-w.machine.started
	first, second := <-w.machine.process, <-w.machine.process
	w.nothingStarts("two are starting already")

	// A sandbox that somebody waits for starts at once.
	if _, err := w.Launch(t.Context(), specOf("cold")); err != nil {
		t.Fatal(err)
	}
	if spec := <-w.machine.started; spec.Token == "" {
		t.Errorf("started %+v", spec)
	}
	<-w.machine.process

	close(first.dialled) // it has started
	<-w.machine.started
	<-w.machine.process
	w.nothingStarts("one of the first two has not dialled yet")

	second.end(errors.New("killed")) // before it ever dialled
	<-w.machine.started
	<-w.machine.process
}

func TestAStartThatFailsLetsTheNextOneStart(t *testing.T) {
	t.Parallel()
	w := begin(t, 10)
	w.machine.err = errors.New("no namespaces")
	w.launchWarm("a", "b", "c", "d")
	for range 4 {
		<-w.machine.started
	}
	for range 4 {
		w.until(launcher.PodEnded)
	}
}

func TestAPodThatIsDeletedBeforeItsTurnIsGone(t *testing.T) {
	t.Parallel()
	w := begin(t, 10)
	w.launchWarm("a", "b", "late")
	for range 2 {
		<-w.machine.started
	}
	for _, pod := range w.Pods() {
		if err := w.Delete(t.Context(), pod.Namespace, pod.Name, pod.UID); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		w.until(launcher.PodGone)
	}
}
