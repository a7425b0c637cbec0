// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"os"
	"path/filepath"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/apis/example"
	"k8s.io/apiserver/pkg/storage"

	"safebeam.dev/safebeam/pkg/storage/bbolt"
)

// An informer that resumes after a restore must be made to list again: what it
// has seen between snapshot and loss has not happened.
func TestAWatchFromBeforeARestoreHasToListAgain(t *testing.T) {
	dir := t.TempDir()
	db, err := bbolt.Open(bbolt.Options{Dir: filepath.Join(dir, "old")})
	if err != nil {
		t.Fatal(err)
	}
	store := newEnvOn(t, boltFace(db), false, settings{}).store
	create := func(name string) *example.Pod {
		t.Helper()
		out := &example.Pod{}
		pod := &example.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
		if err := store.Create(t.Context(), podKey("ns", name), pod, out, 0); err != nil {
			t.Fatal(err)
		}
		return out
	}
	kept := create("kept")
	file, err := os.Create(filepath.Join(dir, "snapshot"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Snapshot(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	lost := create("lost")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	restored := filepath.Join(dir, "new")
	if _, err := bbolt.Restore(t.Context(), file.Name(), restored, bbolt.MinBump); err != nil {
		t.Fatal(err)
	}
	if db, err = bbolt.Open(bbolt.Options{Dir: restored}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	for name, cached := range map[string]bool{"raw": false, "through the cache": true} {
		t.Run(name, func(t *testing.T) {
			// The cache's store has a prefix of its own, under which nothing
			// was written; its revisions are the store's.
			store := newEnvOn(t, boltFace(db), cached, settings{}).store
			for _, seen := range []*example.Pod{kept, lost} {
				expectExpired(t, store, seen.ResourceVersion)
			}
			list := &example.PodList{}
			if err := store.GetList(t.Context(), podPrefix, storage.ListOptions{Recursive: true, Predicate: storage.Everything}, list); err != nil {
				t.Fatal(err)
			}
			if !newer(t, list.ResourceVersion, lost.ResourceVersion) {
				t.Errorf("the restored list is at %s, not after %s", list.ResourceVersion, lost.ResourceVersion)
			}
			if !cached && (len(list.Items) != 1 || list.Items[0].Name != "kept") {
				t.Errorf("restored: %v", list.Items)
			}
		})
	}
}

func newer(t *testing.T, a, b string) bool {
	t.Helper()
	order, err := storage.APIObjectVersioner{}.ParseResourceVersion(a)
	if err != nil {
		t.Fatal(err)
	}
	than, err := storage.APIObjectVersioner{}.ParseResourceVersion(b)
	if err != nil {
		t.Fatal(err)
	}
	return order > than
}

// expectExpired wants a watch to begin, or fail, with 410.
func expectExpired(t *testing.T, store storage.Interface, rv string) {
	t.Helper()
	w, err := store.Watch(t.Context(), podPrefix, storage.ListOptions{ResourceVersion: rv, Recursive: true, Predicate: storage.Everything})
	if err != nil {
		if !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
			t.Fatalf("Watch from %s: %v", rv, err)
		}
		return
	}
	defer w.Stop()
	event := <-w.ResultChan()
	if event.Type != watch.Error || !apierrors.IsResourceExpired(apierrors.FromObject(event.Object)) {
		t.Fatalf("a watch from %s began with %s %v; want 410", rv, event.Type, event.Object)
	}
}
