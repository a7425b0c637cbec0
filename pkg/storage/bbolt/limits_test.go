// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"errors"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/client/v3/kubernetes"

	"safebeam.dev/safebeam/pkg/journal"
)

func TestWhatIsTooLargeIsRefusedAndLeavesNothing(t *testing.T) {
	t.Parallel()
	db := openTest(t, Options{noSync: true})
	put := func(key string, value int) error {
		resp, err := db.Client().Kubernetes.OptimisticPut(t.Context(), key, make([]byte, value), 0, kubernetes.PutOptions{})
		if err == nil && !resp.Succeeded {
			err = errors.New("there is one already")
		}
		return err
	}
	appendTo := func(owner journal.Owner, sizes ...int) error {
		var records []journal.Record
		for i, size := range sizes {
			records = append(records, journal.Record{Owner: owner, Number: int64(i + 1), Data: make([]byte, size)})
		}
		return db.Journal().Append(t.Context(), records...)
	}
	longest := "/" + strings.Repeat("k", MaxKeyBytes-1)
	for _, c := range []struct {
		name       string
		fits, more func() error
	}{
		{"a value", func() error { return put("/v", MaxValueBytes) }, func() error { return put("/w", MaxValueBytes+1) }},
		{"a key", func() error { return put(longest, 1) }, func() error { return put(longest+"k", 1) }},
		{"a journal record", func() error { return appendTo("a", MaxAppendBytes/2) }, func() error { return appendTo("b", MaxAppendBytes+1) }},
		{
			"the records of one append",
			func() error { return appendTo("c", MaxAppendBytes/4, MaxAppendBytes/4) },
			func() error { return appendTo("d", MaxAppendBytes/2, MaxAppendBytes/2+1) },
		},
	} {
		if err := c.fits(); err != nil {
			t.Errorf("%s within the limit: %v", c.name, err)
		}
		before := db.Revision()
		err := c.more()
		if !errors.Is(err, rpctypes.ErrRequestTooLarge) {
			t.Errorf("%s beyond the limit: %v", c.name, err)
		}
		if db.Revision() != before || db.Ready() != nil {
			t.Errorf("%s beyond the limit took the revision from %d to %d; ready: %v", c.name, before, db.Revision(), db.Ready())
		}
	}
	for _, key := range []string{"/w", longest + "k"} {
		if got := mustGet(t, db, key); got != "" {
			t.Errorf("%.10s… holds %d bytes", key, len(got))
		}
	}
	for _, owner := range []journal.Owner{"b", "d"} {
		if got, err := db.Journal().Read(t.Context(), owner, 0, 0); err != nil || len(got) != 0 {
			t.Errorf("journal %s: %d records, %v", owner, len(got), err)
		}
	}
	mustPut(t, db, "/after", "x", 0)
}
