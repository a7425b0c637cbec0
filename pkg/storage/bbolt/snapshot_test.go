// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"

	"safebeam.dev/safebeam/pkg/journal"
)

func TestASnapshotRestoresWithTheRevisionBumped(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := openTest(t, Options{})
	fillPrefix(t, db, "/p/", 300)
	if err := db.Journal().Append(ctx, journal.Record{Owner: "o", Number: 7, Data: []byte("seven")}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "snapshot")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	report, err := db.Snapshot(ctx, out)
	if err != nil || report.Revision != 301 {
		t.Fatalf("%+v, %v", report, err)
	}
	out.Close()
	// The old store goes on after the snapshot.
	mustPut(t, db, "/p/later", "x", 0)
	seen := db.Revision()

	for _, bad := range []struct {
		name   string
		edit   func([]byte) []byte
		expect string
	}{
		{"cut", func(b []byte) []byte { return b[:len(b)-1] }, "does not end as one"},
		{"flipped", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }, "SHA-256"},
		{"empty", func([]byte) []byte { return nil }, "0 bytes"},
	} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		broken := filepath.Join(t.TempDir(), "broken")
		os.WriteFile(broken, bad.edit(data), 0o600)
		if _, err := Restore(ctx, broken, t.TempDir(), 0); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), bad.expect) {
			t.Errorf("%s snapshot: %v", bad.name, err)
		}
	}
	dir := filepath.Join(t.TempDir(), "restored")
	if _, err := Restore(ctx, path, dir, 5); err == nil {
		t.Error("restored with a bump of 5")
	}
	restored, err := Restore(ctx, path, dir, 0)
	if err != nil || restored.Revision != 301+MinBump || restored.Contents.Keys != 300 || restored.Contents.Records != 1 {
		t.Fatalf("%+v, %v", restored, err)
	}
	if _, err := Restore(ctx, path, dir, 0); err == nil {
		t.Error("restored over a store")
	}
	again := openTest(t, Options{Dir: dir})
	if again.Revision() != restored.Revision || again.CompactRevision() != restored.Revision {
		t.Errorf("revision %d, compacted %d", again.Revision(), again.CompactRevision())
	}
	c := again.Client()
	if r := next(t, c.Watch(ctx, "/p/", clientv3.WithPrefix(), clientv3.WithRev(seen+1))); !errors.Is(r.Err(), rpctypes.ErrCompacted) {
		t.Errorf("a client of the old store is told %v", r.Err())
	}
	if _, err := c.Kubernetes.List(ctx, "/p/", kubernetes.ListOptions{Revision: seen}); !errors.Is(err, rpctypes.ErrCompacted) {
		t.Errorf("a list at a revision of the old store: %v", err)
	}
	list, err := c.Kubernetes.List(ctx, "/p/", kubernetes.ListOptions{Revision: restored.Revision})
	if err != nil || list.Count != 300 {
		t.Errorf("%d keys, %v", list.Count, err)
	}
	records, err := again.Journal().Read(ctx, "o", 0, 0)
	if err != nil || len(records) != 1 || string(records[0].Data) != "seven" {
		t.Errorf("journal: %v, %v", records, err)
	}
	w := c.Watch(ctx, "/p/", clientv3.WithPrefix(), clientv3.WithRev(restored.Revision+1))
	if rev := mustPut(t, again, "/p/new", "x", 0); rev != restored.Revision+1 {
		t.Errorf("revision %d", rev)
	}
	collect(t, w, 1)
}
