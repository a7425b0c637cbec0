// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/apis/example"
	"k8s.io/apiserver/pkg/storage"

	"safebeam.dev/safebeam/pkg/storage/bbolt"
)

// crashDir tells a process of this test binary that it is the one to be killed.
const crashDir = "SAFEBEAM_CRASH_DIR"

const crashWriters = 8

// A writer of the process that is killed counts in one object. Each count is
// one update, and said on standard output once it is acknowledged.

func countUntilKilled(dir string) error {
	db, err := bbolt.Open(crashOptions(dir))
	if err != nil {
		return err
	}
	t := &testing.T{}
	store := newEnvOn(t, boltFace(db), false, settings{}).store
	var said sync.Mutex
	var running sync.WaitGroup
	failed := make(chan error, crashWriters)
	for w := range crashWriters {
		running.Go(func() {
			for {
				n, err := count(context.Background(), store, w)
				if err != nil {
					failed <- err
					return
				}
				said.Lock()
				fmt.Printf("%d %d\n", w, n)
				said.Unlock()
			}
		})
	}
	return <-failed
}

func crashOptions(dir string) bbolt.Options {
	return bbolt.Options{Dir: dir, SegmentBytes: 1 << 20, CheckpointInterval: 30 * time.Millisecond}
}

// count adds one to a writer's object, which it makes if there is none.
func count(ctx context.Context, s storage.Interface, writer int) (n int, err error) {
	name := fmt.Sprintf("w%d", writer)
	err = s.GuaranteedUpdate(ctx, podKey("ns", name), &example.Pod{}, true, nil, storage.SimpleUpdate(func(o runtime.Object) (runtime.Object, error) {
		pod := o.(*example.Pod)
		pod.ObjectMeta = metav1.ObjectMeta{Namespace: "ns", Name: name, ResourceVersion: pod.ResourceVersion}
		n = counted(pod) + 1
		pod.Spec.NodeName = strconv.Itoa(n)
		return pod, nil
	}), nil)
	return n, err
}

func counted(pod *example.Pod) int {
	n, _ := strconv.Atoi(pod.Spec.NodeName)
	return n
}

func TestNothingAcknowledgedIsLostToKill9(t *testing.T) {
	random := newRandom(t)
	dir := filepath.Join(t.TempDir(), "store")
	acknowledged := make([]int, crashWriters)
	for round := range rounds(t, 15) {
		runAndKill(t, random, dir, acknowledged)
		checkCounts(t, round, dir, acknowledged)
	}
	t.Logf("acknowledged: %v", acknowledged)
}

// runAndKill has a process count, kills it at some moment and notes what it
// acknowledged.
func runAndKill(t *testing.T, random *rand.Rand, dir string, acknowledged []int) {
	t.Helper()
	process := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	process.Env = append(os.Environ(), crashDir+"="+dir)
	process.Stderr = os.Stderr
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	// The moment is told by the work done, so that a slow machine is killed
	// as far on as a fast one.
	for left := 1 + random.IntN(3000); lines.Scan(); left-- {
		var w, n int
		if _, err := fmt.Sscanf(lines.Text(), "%d %d", &w, &n); err != nil {
			t.Fatalf("the process said %q", lines.Text())
		}
		if n <= acknowledged[w] {
			t.Fatalf("writer %d acknowledged %d after %d", w, n, acknowledged[w])
		}
		acknowledged[w] = n
		if left == 0 {
			// What it says until it is dead is acknowledged as well.
			if err := process.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := process.Wait(); err == nil || process.ProcessState.Exited() {
		t.Fatalf("the process ended by itself: %v", process.ProcessState)
	}
}

// checkCounts opens what the crash left: every object has been counted to what
// was acknowledged, or once more, and the history counts without gaps.
func checkCounts(t *testing.T, round int, dir string, acknowledged []int) {
	t.Helper()
	db, err := bbolt.Open(crashOptions(dir))
	if err != nil {
		t.Fatalf("round %d: %v", round, err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Errorf("round %d: Close: %v", round, err)
		}
	}()
	store := newEnvOn(t, boltFace(db), false, settings{}).store
	list := &example.PodList{}
	if err := store.GetList(t.Context(), podPrefix, storage.ListOptions{Recursive: true, Predicate: storage.Everything}, list); err != nil {
		t.Fatal(err)
	}
	stored := map[string]int{}
	for i := range list.Items {
		stored[list.Items[i].Name] = counted(&list.Items[i])
	}
	for w, n := range acknowledged {
		if got := stored[fmt.Sprintf("w%d", w)]; got != n && got != n+1 {
			t.Fatalf("round %d: writer %d was told %d and %d is stored", round, w, n, got)
		}
		acknowledged[w] = stored[fmt.Sprintf("w%d", w)]
	}
	checkHistoryCounts(t, db, store, stored)
}

func checkHistoryCounts(t *testing.T, db *bbolt.DB, store storage.Interface, stored map[string]int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	from := max(db.CompactRevision(), 1)
	w, err := store.Watch(ctx, podPrefix, storage.ListOptions{
		ResourceVersion: strconv.FormatInt(from, 10), Recursive: true, Predicate: storage.Everything,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	seen := map[string]int{}
	for done := 0; done < len(stored); {
		event, open := <-w.ResultChan()
		if !open || event.Type == watch.Error {
			t.Fatalf("the history from %d broke off: %v", from, event.Object)
		}
		pod := event.Object.(*example.Pod)
		n := counted(pod)
		if last, any := seen[pod.Name]; any && n != last+1 {
			t.Fatalf("the history of %s goes from %d to %d", pod.Name, last, n)
		}
		if seen[pod.Name] = n; n == stored[pod.Name] {
			done++
		}
	}
}
