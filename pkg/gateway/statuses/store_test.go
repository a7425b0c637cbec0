// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package statuses_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/etcd3"
	"k8s.io/apiserver/pkg/storage/value/encrypt/identity"

	v1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway/statuses"
	"safebeam.dev/safebeam/pkg/gateway/statuses/statusestest"
	engine "safebeam.dev/safebeam/pkg/storage"
	"safebeam.dev/safebeam/pkg/storage/bbolt"
)

// open returns turns in a store whose cache is behind.
func open(t *testing.T) statuses.Store[*v1.Turn] {
	quiet := logr.Discard()
	db, err := bbolt.Open(bbolt.Options{Dir: t.TempDir(), SegmentBytes: 512 << 10, CheckpointInterval: time.Hour, Logger: &quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	scheme := runtime.NewScheme()
	if err := v1.Install(scheme); err != nil {
		t.Fatal(err)
	}
	codecs := serializer.NewCodecFactory(scheme)
	info, _ := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), runtime.ContentTypeJSON)
	codec := codecs.CodecForVersions(info.Serializer, info.Serializer, v1.SchemeGroupVersion, v1.SchemeGroupVersion)
	newTurn := func() runtime.Object { return &v1.Turn{} }
	newList := func() runtime.Object { return &v1.TurnList{} }
	versioner := storage.APIObjectVersioner{}
	s, err := etcd3.New(db.Client(), db, codec, newTurn, newList, "/registry", "/turns", v1.Resource("turns"),
		identity.NewEncryptCheckTransformer(), etcd3.NewDefaultLeaseManagerConfig(), etcd3.NewDefaultDecoder(codec, versioner), versioner)
	if err != nil {
		t.Fatal(err)
	}
	return statuses.Store[*v1.Turn]{
		Storage: statusestest.Behind(engine.OnBBolt(s, db, "/registry", "/turns")), Prefix: "/turns", Resource: "turn",
		New: func() *v1.Turn { return &v1.Turn{} }, NewList: newList,
	}
}

func create(t *testing.T, s statuses.Store[*v1.Turn], name, uid string) *v1.Turn {
	t.Helper()
	out := &v1.Turn{}
	turn := &v1.Turn{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(uid)}}
	if err := s.Storage.Create(context.Background(), "/turns/ns/"+name, turn, out, 0); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAChangeSeesWhatItsWriterWroteBefore(t *testing.T) {
	s := open(t)
	known := create(t, s, "one", "1")
	for number := 1; number <= 6; number++ {
		updated, err := s.Update(t.Context(), known, func(turn *v1.Turn) error {
			if n := len(turn.Status.Attempts); n != number-1 {
				t.Fatalf("change %d is told of %d attempts", number, n)
			}
			turn.Status.Attempts = append(turn.Status.Attempts, v1.TurnAttempt{Job: "job"})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		known = updated
	}
}

func TestAChangeSeesWhatOthersWrote(t *testing.T) {
	s := open(t)
	known := create(t, s, "one", "1")
	finalizers := func(turn *v1.Turn) error {
		turn.Finalizers = append(turn.Finalizers, "example.com/x")
		return nil
	}
	for range 2 {
		if _, err := s.Update(t.Context(), known, finalizers); err != nil {
			t.Fatal(err)
		}
	}
	if turn, err := s.Get(t.Context(), "ns", "one"); err != nil || len(turn.Finalizers) != 2 {
		t.Errorf("stored is %v, %v", turn.Finalizers, err)
	}
}

func TestAnErrorOfTheChangeIsReturned(t *testing.T) {
	s := open(t)
	known := create(t, s, "one", "1")
	enough := errors.New("enough")
	for range 2 {
		if _, err := s.Update(t.Context(), known, func(*v1.Turn) error { return enough }); !errors.Is(err, enough) {
			t.Errorf("got %v", err)
		}
	}
}

func TestAnotherObjectOfTheNameIsNotChanged(t *testing.T) {
	s := open(t)
	known := create(t, s, "one", "1")
	change := func(turn *v1.Turn) error { turn.Status.Phase = v1.TurnRunning; return nil }
	if err := s.Storage.Delete(t.Context(), "/turns/ns/one", &v1.Turn{}, nil, storage.ValidateAllObjectFunc, nil, storage.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.Update(t.Context(), known, change); !statuses.Gone(err) {
			t.Errorf("of none: %v", err)
		}
	}
	create(t, s, "one", "2")
	for range 2 {
		if _, err := s.Update(t.Context(), known, change); !statuses.Gone(err) {
			t.Errorf("of another: %v", err)
		}
	}
	if turn, err := s.Get(t.Context(), "ns", "one"); err != nil || turn.Status.Phase != "" {
		t.Errorf("the other is %v, %v", turn, err)
	}
	if turn, err := s.Get(t.Context(), "ns", "none"); turn != nil || err != nil {
		t.Errorf("there is %v, %v", turn, err)
	}
}

func TestAListIsOfEveryPage(t *testing.T) {
	s := open(t)
	names := map[string]bool{}
	for i := range 1100 {
		name := "turn-" + string(rune('a'+i/676%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i%26))
		create(t, s, name, name)
		names[name] = true
	}
	all, err := s.List(t.Context(), func(turn *v1.Turn) bool { return turn.Name != "turn-aaa" })
	if err != nil {
		t.Fatal(err)
	}
	for _, turn := range all {
		delete(names, turn.Name)
	}
	if len(all) != 1099 || len(names) != 1 || !names["turn-aaa"] {
		t.Errorf("%d turns, without %d", len(all), len(names))
	}
}

// cached serves lists as a watch cache does: with its own slices and pointers in them.
type cached struct {
	storage.Interface
	held v1.TurnList
}

func (c *cached) GetList(_ context.Context, _ string, _ storage.ListOptions, into runtime.Object) error {
	*into.(*v1.TurnList) = v1.TurnList{Items: append([]v1.Turn(nil), c.held.Items...)}
	return nil
}

func TestAListIsTheCallersToChange(t *testing.T) {
	cache := &cached{held: v1.TurnList{Items: []v1.Turn{{Status: v1.TurnStatus{Attempts: []v1.TurnAttempt{{Job: "job"}}}}}}}
	s := open(t)
	s.Storage = cache
	all, err := s.List(t.Context(), func(*v1.Turn) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	all[0].Status.Attempts[0].Job = "another"
	if job := cache.held.Items[0].Status.Attempts[0].Job; job != "job" {
		t.Errorf("the cache's has the job %s", job)
	}
}
