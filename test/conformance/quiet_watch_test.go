// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	clientkubernetes "go.etcd.io/etcd/client/v3/kubernetes"
)

// A watch of keys that nobody writes has missed nothing, however much of the
// history of others is given up meanwhile.
func TestCompactionPassesAQuietWatchBy(t *testing.T) {
	for _, s := range []subject{ours, control} {
		t.Run(s.name, func(t *testing.T) {
			f := s.open(t, time.Hour)
			put := func(key string) int64 {
				t.Helper()
				r, err := f.client.Kubernetes.OptimisticPut(t.Context(), key, []byte("x"), 0, clientkubernetes.PutOptions{})
				if err != nil || !r.Succeeded {
					t.Fatalf("put %s: %v", key, err)
				}
				return r.Revision
			}
			first := put("/quiet/first")
			events := f.client.Watch(t.Context(), "/quiet/", clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithRev(first))
			next := func() *clientv3.Event {
				t.Helper()
				r, open := <-events
				if !open || r.Canceled || len(r.Events) != 1 {
					t.Fatalf("the watch answered %+v", r)
				}
				return r.Events[0]
			}
			next() // it has begun
			var last int64
			for i := range 50 {
				last = put(fmt.Sprintf("/busy/%d", i))
			}
			f.compact(t.Context(), t, last)
			put("/quiet/last")
			if event := next(); string(event.Kv.Key) != "/quiet/last" {
				t.Errorf("the watch sent %v", event)
			}
		})
	}
}
