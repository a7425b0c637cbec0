// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/apis/example"
	"k8s.io/apiserver/pkg/storage"

	"safebeam.dev/safebeam/pkg/storage/bbolt"
)

// Concurrent writers and readers of few objects, a store that is closed and
// opened again under them, and a checker that asks whether all that they saw
// can have happened in one order.

type request struct {
	key, kind string
	// value is what create and update write.
	value string
}

// reply is what came back. value is that of the object as the operation found
// it, "" for none.
type reply struct {
	value string
	// refused says that a create found the object, or another operation none.
	refused bool
	// unknown says that the operation failed, and may have been done.
	unknown bool
}

// object is the model: the value, "" while there is none. Keys are independent.
var objectModel = porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, op := range history {
			key := op.Input.(request).key
			byKey[key] = append(byKey[key], op)
		}
		var parts [][]porcupine.Operation
		for _, part := range byKey {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() []any { return []any{""} },
	Step: func(state, input, output any) []any {
		value, in, out := state.(string), input.(request), output.(reply)
		after, refused := apply(value, in)
		if out.unknown {
			return []any{value, after}
		}
		if refused != out.refused || !refused && in.kind != "create" && value != out.value {
			return nil
		}
		return []any{after}
	},
	Equal: func(a, b any) bool { return a == b },
	DescribeOperation: func(input, output any) string {
		return fmt.Sprintf("%+v -> %+v", input, output)
	},
}

func apply(value string, in request) (after string, refused bool) {
	switch in.kind {
	case "create":
		if value != "" {
			return value, true
		}
		return in.value, false
	case "update":
		if value == "" {
			return "", true
		}
		return in.value, false
	case "delete":
		return "", value == ""
	default:
		return value, value == ""
	}
}

// reopened is a store that is exchanged while it is used.
type reopened struct{ current atomic.Pointer[opened] }

type opened struct {
	storage.Interface
	// replaced is closed when there is a later one.
	replaced chan struct{}
}

func (r *reopened) exchange(s storage.Interface) {
	if old := r.current.Swap(&opened{s, make(chan struct{})}); old != nil {
		close(old.replaced)
	}
}

// perform waits, after a failure, until the store has been opened again.
func (r *reopened) perform(ctx context.Context, in request) reply {
	s := r.current.Load()
	out := s.perform(ctx, in)
	if out.unknown {
		<-s.replaced
	}
	return out
}

func (s *opened) perform(ctx context.Context, in request) reply {
	key := podKey("ns", in.key)
	out := &example.Pod{}
	found := ""
	var err error
	switch in.kind {
	case "create":
		err = s.Create(ctx, key, &example.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: in.key}, Spec: example.PodSpec{NodeName: in.value}}, out, 0)
	case "update":
		err = s.GuaranteedUpdate(ctx, key, out, false, nil, storage.SimpleUpdate(func(o runtime.Object) (runtime.Object, error) {
			pod := o.(*example.Pod)
			found = pod.Spec.NodeName
			pod.Spec.NodeName = in.value
			return pod, nil
		}), nil)
	case "delete":
		err = s.Delete(ctx, key, out, nil, storage.ValidateAllObjectFunc, nil, storage.DeleteOptions{})
		found = out.Spec.NodeName
	default:
		err = s.Get(ctx, key, storage.GetOptions{}, out)
		found = out.Spec.NodeName
	}
	switch {
	case err == nil:
		return reply{value: found}
	case storage.IsExist(err), storage.IsNotFound(err):
		return reply{refused: true}
	default:
		return reply{unknown: true}
	}
}

func TestHistoriesAreLinearizable(t *testing.T) {
	random := newRandom(t)
	for _, s := range []struct {
		name     string
		restarts bool
	}{{"one process", false}, {"with restarts", true}} {
		t.Run(s.name, func(t *testing.T) {
			checkHistory(t, random, rounds(t, 12000), s.restarts)
		})
	}
}

func checkHistory(t *testing.T, random *rand.Rand, operations int, restarts bool) {
	dir := filepath.Join(t.TempDir(), "store")
	var db *bbolt.DB
	store := &reopened{}
	open := func() {
		var err error
		if db, err = bbolt.Open(bbolt.Options{Dir: dir, SegmentBytes: 1 << 20, CheckpointInterval: 50 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		store.exchange(newEnvOn(t, boltFace(db), false, settings{}).store)
	}
	open()
	const writers = 12
	var history []porcupine.Operation
	var mu sync.Mutex
	var next, unknown atomic.Int64
	begun := time.Now()
	var running sync.WaitGroup
	for w := range writers {
		r := rand.New(rand.NewPCG(random.Uint64(), uint64(w)))
		running.Go(func() {
			// A client whose operation's outcome is unknown goes on as
			// another: the operation may take effect at any time.
			client := w
			for n := next.Add(1); n <= int64(operations); n = next.Add(1) {
				in := request{key: fmt.Sprintf("k%d", r.IntN(6)), kind: pick(r, "create", "update", "update", "delete", "get", "get"), value: fmt.Sprintf("v%d", n)}
				op := porcupine.Operation{ClientId: client, Input: in, Call: int64(time.Since(begun))}
				out := store.perform(context.Background(), in)
				op.Output, op.Return = out, int64(time.Since(begun))
				if out.unknown {
					if unknown.Add(1); in.kind == "get" {
						continue
					}
					op.Return = int64(time.Hour)
					client += writers
				}
				mu.Lock()
				history = append(history, op)
				mu.Unlock()
			}
		})
	}
	for restarts && next.Load() < int64(operations) {
		time.Sleep(time.Duration(20+random.IntN(60)) * time.Millisecond)
		if err := db.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		open()
	}
	running.Wait()
	if err := db.Close(); err != nil && !errors.Is(err, bbolt.ErrClosed) {
		t.Errorf("Close: %v", err)
	}
	t.Logf("%d operations, %d of unknown outcome", len(history), unknown.Load())
	model := objectModel.ToModel()
	switch result, info := porcupine.CheckOperationsVerbose(model, history, 2*time.Minute); result {
	case porcupine.Illegal:
		file := filepath.Join(t.ArtifactDir(), "history.html")
		if err := porcupine.VisualizePath(model, info, file); err != nil {
			t.Log(err)
		}
		t.Fatalf("the history is not linearizable; see %s (kept with -artifacts)", file)
	case porcupine.Unknown:
		t.Fatal("the checker ran out of time")
	}
}

func TestTheCheckerFindsAStaleReadAndALostUpdate(t *testing.T) {
	at := func(call, back int64, in request, out reply) porcupine.Operation {
		return porcupine.Operation{ClientId: int(call), Input: in, Call: call, Output: out, Return: back}
	}
	created := at(0, 1, request{"k", "create", "a"}, reply{})
	updated := at(2, 3, request{"k", "update", "b"}, reply{value: "a"})
	for name, history := range map[string][]porcupine.Operation{
		"stale read":  {created, updated, at(4, 5, request{"k", "get", ""}, reply{value: "a"})},
		"lost update": {created, updated, at(4, 5, request{"k", "update", "c"}, reply{value: "a"})},
		"lost object": {created, at(2, 3, request{"k", "get", ""}, reply{refused: true})},
	} {
		if porcupine.CheckOperations(objectModel.ToModel(), history) {
			t.Errorf("%s: the checker saw nothing", name)
		}
	}
}
