// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/client/v3/kubernetes"

	"safebeam.dev/safebeam/pkg/journal"
	"safebeam.dev/safebeam/pkg/storage/bbolt/vfs"
)

// benchValue is of the size of the objects that the comparison with etcd uses.
func benchValue(i int) []byte {
	v := make([]byte, 1101)
	copy(v, fmt.Sprintf("%08d", i))
	return v
}

// parallel runs op n times over all by the given number of goroutines and
// reports latencies and syncs.
func parallel(b *testing.B, db *DB, writers int, op func(worker, i int)) {
	b.Helper()
	latencies := make([][]time.Duration, writers)
	before := db.Stats()
	var next atomic.Int64
	b.ResetTimer()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= b.N {
					return
				}
				start := time.Now()
				op(w, i)
				latencies[w] = append(latencies[w], time.Since(start))
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	all := slices.Concat(latencies...)
	slices.Sort(all)
	after := db.Stats()
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(after.Commits-before.Commits)/float64(b.N), "commits/op")
}

func benchDir(b *testing.B) string {
	// t.TempDir may be a tmpfs, on which a sync costs nothing.
	if dir := os.Getenv("BENCH_DIR"); dir != "" {
		dir, err := os.MkdirTemp(dir, "bench")
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { os.RemoveAll(dir) })
		return dir
	}
	return b.TempDir()
}

func BenchmarkCreate(b *testing.B) {
	for _, writers := range []int{1, 8, 64, 256} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			db := openTest(b, Options{Dir: benchDir(b)})
			k := db.Client().Kubernetes
			ctx := context.Background()
			parallel(b, db, writers, func(_, i int) {
				key := fmt.Sprintf("/registry/turns/ns-%d/turn-%08d", i%64, i)
				if _, err := k.OptimisticPut(ctx, key, benchValue(i), 0, kubernetes.PutOptions{}); err != nil {
					b.Error(err)
				}
			})
		})
	}
}

func BenchmarkUpdate(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			db := openTest(b, Options{Dir: benchDir(b)})
			k := db.Client().Kubernetes
			ctx := context.Background()
			revs := make([]int64, writers)
			parallel(b, db, writers, func(w, i int) {
				resp, err := k.OptimisticPut(ctx, fmt.Sprintf("/registry/turns/ns/%d", w), benchValue(i), revs[w], kubernetes.PutOptions{})
				if err != nil || !resp.Succeeded {
					b.Error(resp, err)
				}
				revs[w] = resp.Revision
			})
		})
	}
}

// BenchmarkContended has sixteen writers change one object by read and
// compare-and-swap, with and without a session.
func BenchmarkContended(b *testing.B) {
	for _, staged := range []bool{false, true} {
		b.Run(fmt.Sprintf("session=%v", staged), func(b *testing.B) {
			db := openTest(b, Options{Dir: benchDir(b)})
			k := db.Client().Kubernetes
			mustPut(b, db, "/one", "x", 0)
			parallel(b, db, 16, func(_, i int) {
				ctx := context.Background()
				settle := func(context.Context) error { return nil }
				if staged {
					ctx, settle = db.Session(ctx)
				}
				got, err := k.Get(ctx, "/one", kubernetes.GetOptions{})
				if err != nil {
					b.Error(err)
					return
				}
				for rev := got.KV.ModRevision; ; {
					resp, err := k.OptimisticPut(ctx, "/one", benchValue(i), rev, kubernetes.PutOptions{GetOnFailure: true})
					if err != nil {
						b.Error(err)
						return
					}
					if resp.Succeeded {
						break
					}
					rev = resp.KV.ModRevision
				}
				if err := settle(ctx); err != nil {
					b.Error(err)
				}
			})
		})
	}
}

func BenchmarkGet(b *testing.B) {
	for _, resident := range []bool{true, false} {
		b.Run(fmt.Sprintf("resident=%v", resident), func(b *testing.B) {
			db := openTest(b, Options{Dir: benchDir(b)})
			k := db.Client().Kubernetes
			ctx := context.Background()
			fill(b, db, 10_000)
			if !resident {
				if err := db.Checkpoint(ctx); err != nil {
					b.Fatal(err)
				}
			}
			parallel(b, db, 1, func(_, i int) {
				resp, err := k.Get(ctx, fillKey(i*7919%10_000), kubernetes.GetOptions{})
				if err != nil || resp.KV == nil {
					b.Error(resp, err)
				}
			})
		})
	}
}

func BenchmarkListPage(b *testing.B) {
	db := openTest(b, Options{Dir: benchDir(b)})
	k := db.Client().Kubernetes
	ctx := context.Background()
	fill(b, db, 10_000)
	if err := db.Checkpoint(ctx); err != nil {
		b.Fatal(err)
	}
	parallel(b, db, 1, func(_, i int) {
		resp, err := k.List(ctx, "/registry/fill/", kubernetes.ListOptions{Limit: 500, Continue: fillKey(i * 500 % 9_500)})
		if err != nil || len(resp.Kvs) != 500 {
			b.Error(len(resp.Kvs), err)
		}
	})
}

func BenchmarkJournalAppend(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			db := openTest(b, Options{Dir: benchDir(b)})
			j := db.Journal()
			ctx := context.Background()
			numbers := make([]int64, writers)
			parallel(b, db, writers, func(w, i int) {
				numbers[w]++
				r := journal.Record{Owner: journal.Owner(fmt.Sprintf("turns/%d/events", w)), Number: numbers[w], Data: benchValue(i)[:400]}
				if err := j.Append(ctx, r); err != nil {
					b.Error(err)
				}
			})
		})
	}
}

// BenchmarkReopen measures the time from Open to the first read, of a store of
// 100,000 objects that was left without a checkpoint of its last ones.
func BenchmarkReopen(b *testing.B) {
	dir := benchDir(b)
	db, err := Open(Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	fill(b, db, 100_000)
	db.abandon()
	b.ResetTimer()
	for range b.N {
		db, err := Open(Options{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		if got := mustGet(b, db, fillKey(99_999)); len(got) != 1101 {
			b.Fatal(got)
		}
		b.StopTimer()
		db.abandon()
		b.StartTimer()
	}
}

// BenchmarkCreateDuringDefragment measures the pauses that an online
// defragmentation of 100,000 objects makes for a writer.
func BenchmarkCreateDuringDefragment(b *testing.B) {
	db := openTest(b, Options{Dir: benchDir(b)})
	ctx := context.Background()
	fill(b, db, 100_000)
	if err := db.Checkpoint(ctx); err != nil {
		b.Fatal(err)
	}
	var worst time.Duration
	n := 0
	b.ResetTimer()
	for range b.N {
		done := make(chan error, 1)
		go func() {
			_, err := db.Defragment(ctx)
			done <- err
		}()
		for running := true; running; n++ {
			select {
			case err := <-done:
				if err != nil {
					b.Fatal(err)
				}
				running = false
			default:
			}
			start := time.Now()
			mustPut(b, db, fmt.Sprintf("/during/%08d", n), "x", 0)
			worst = max(worst, time.Since(start))
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(worst.Microseconds()), "max-µs")
	b.ReportMetric(float64(n)/float64(b.N), "creates/op")
}

// BenchmarkSync is the disk's own limit: 4 KiB into a zeroed file, synced.
func BenchmarkSync(b *testing.B) {
	f, err := vfs.OS.OpenFile(filepath.Join(benchDir(b), "zeroed"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if err := zeroRange(context.Background(), f, 0, 16<<20, vfs.File.Sync); err != nil {
		b.Fatal(err)
	}
	latencies := make([]time.Duration, 0, b.N)
	page := make([]byte, pageSize)
	b.ResetTimer()
	for i := range b.N {
		start := time.Now()
		if _, err := f.WriteAt(page, int64(i%4096)*pageSize); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		latencies = append(latencies, time.Since(start))
	}
	b.StopTimer()
	slices.Sort(latencies)
	b.ReportMetric(float64(latencies[len(latencies)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(latencies[len(latencies)*99/100].Microseconds()), "p99-µs")
}

func fillKey(i int) string { return fmt.Sprintf("/registry/fill/ns-%d/%08d", i%8, i) }

// fill puts n objects with 64 writers.
func fill(b testing.TB, db *DB, n int) {
	b.Helper()
	k := db.Client().Kubernetes
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if _, err := k.OptimisticPut(context.Background(), fillKey(i), benchValue(i), 0, kubernetes.PutOptions{}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
