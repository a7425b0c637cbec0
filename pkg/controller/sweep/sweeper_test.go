// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/etcd3"
	"k8s.io/apiserver/pkg/storage/value/encrypt/identity"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned/fake"
	"safebeam.dev/safebeam/pkg/journal"
	"safebeam.dev/safebeam/pkg/storage/bbolt"
	"safebeam.dev/safebeam/pkg/storage/heads"
)

func TestOnlyWhatTwoSweepsFoundWithoutObjectIsDropped(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db, err := bbolt.Open(bbolt.Options{Dir: t.TempDir(), SegmentBytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	codec, versioner := heads.Codec(), storage.APIObjectVersioner{}
	raw, err := etcd3.New(db.Client(), db, codec, func() runtime.Object { return &heads.Head{} }, func() runtime.Object { return &heads.HeadList{} },
		"/registry", heads.ResourcePrefix, heads.Resource, identity.NewEncryptCheckTransformer(),
		etcd3.NewDefaultLeaseManagerConfig(), etcd3.NewDefaultDecoder(codec, versioner), versioner)
	if err != nil {
		t.Fatal(err)
	}
	store := heads.NewStore(raw)
	for _, uid := range []types.UID{"alive", "gone", "coming"} {
		if _, err := store.Close(ctx, uid); err != nil {
			t.Fatal(err)
		}
	}
	for _, owner := range []journal.Owner{
		"conversations/alive/messages", "conversations/gone/messages", "conversations/gone/router", "conversations/coming/messages",
		"turns/alive/events", "turns/gone/events", "turns/gone/reserved", "sandboxes/gone/output",
		"executions/alive/output", "executions/gone/output", "executions/gone/reserved",
	} {
		if err := db.Journal().Append(ctx, journal.Record{Owner: owner, Number: 1, Data: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	client := fake.NewClientset(
		&tightbeamv1.Conversation{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "c", UID: "alive"}},
		&tightbeamv1.Turn{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "t", UID: "alive"}},
		&llmsafespacev1.Execution{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "e", UID: "alive"}},
	)
	s := New(Options{Client: client, Journal: db.Journal(), Heads: store})
	owners := func() (out []string) {
		t.Helper()
		found, err := db.Journal().Owners(ctx, "", 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, owner := range found {
			out = append(out, string(owner))
		}
		return out
	}
	if err := s.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if n := len(owners()); n != 11 {
		t.Errorf("the first sweep left %d owners: %v", n, owners())
	}
	// A fork's log is written before its conversation.
	if err := client.Tracker().Add(&tightbeamv1.Conversation{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "fork", UID: "coming"}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	want := []string{"conversations/alive/messages", "conversations/coming/messages", "executions/alive/output", "sandboxes/gone/output", "turns/alive/events"}
	if diff := cmp.Diff(want, owners()); diff != "" {
		t.Error(diff)
	}
	left, err := store.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, head := range left {
		names = append(names, head.Name)
	}
	if diff := cmp.Diff([]string{"alive", "coming"}, names); diff != "" {
		t.Error(diff)
	}
}
