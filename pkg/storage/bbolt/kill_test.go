// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/client/v3/kubernetes"

	"safebeam.dev/safebeam/pkg/journal"
)

// childDir is set in the child process of TestNothingAcknowledgedIsLostToKill9.
const childDir = "SAFEBEAM_STORE_CHILD_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := writeUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const childWriters = 8

// writeUntilKilled counts up: each writer puts its count, and appends it to a
// journal, and says so on standard output when it is acknowledged.
func writeUntilKilled(dir string) error {
	db, err := Open(Options{Dir: dir, SegmentBytes: 256 << 10, CheckpointInterval: 20 * time.Millisecond, CompactionMinEvents: 1000})
	if err != nil {
		return err
	}
	k, j := db.Client().Kubernetes, db.Journal()
	ctx := context.Background()
	errs := make(chan error, childWriters)
	for w := range childWriters {
		key, owner := fmt.Sprintf("/w/%d", w), journal.Owner(fmt.Sprintf("w/%d", w))
		got, err := k.Get(ctx, key, kubernetes.GetOptions{})
		if err != nil {
			return err
		}
		var n, rev int64
		if got.KV != nil {
			rev = got.KV.ModRevision
			if n, err = strconv.ParseInt(strings.TrimRight(string(got.KV.Value), "x"), 10, 64); err != nil {
				return err
			}
		}
		go func() {
			pad := strings.Repeat("x", 1000)
			for n++; ; n++ {
				j.Stage(ctx, journal.Record{Owner: owner, Number: n, Data: []byte("entry")})
				resp, err := k.OptimisticPut(ctx, key, []byte(strconv.FormatInt(n, 10)+pad), rev, kubernetes.PutOptions{})
				if err != nil || !resp.Succeeded {
					errs <- fmt.Errorf("put %s %d at %d: %+v, %v", key, n, rev, resp, err)
					return
				}
				rev = resp.Revision
				os.Stdout.WriteString(fmt.Sprintf("%d %d\n", w, n))
			}
		}()
	}
	return <-errs
}

// TestNothingAcknowledgedIsLostToKill9 kills a child process under load again
// and again. What it said it had written has to be there when it is opened.
func TestNothingAcknowledgedIsLostToKill9(t *testing.T) {
	t.Parallel()
	kills := 6
	if n, err := strconv.Atoi(os.Getenv("TORTURE_ROUNDS")); err == nil {
		kills = max(kills, n/10)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	var acked [childWriters]int64
	for round := range kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var timer sync.Once
		lines := 0
		for in := bufio.NewScanner(out); in.Scan(); lines++ {
			timer.Do(func() {
				time.AfterFunc(time.Duration(20+rng.IntN(300))*time.Millisecond, func() { cmd.Process.Kill() })
			})
			var w int
			var n int64
			// The last line may have been cut.
			if k, _ := fmt.Sscanf(in.Text(), "%d %d", &w, &n); k == 2 && n > acked[w] && n <= acked[w]+2 {
				acked[w] = n
			}
		}
		cmd.Wait()
		if lines == 0 {
			t.Fatalf("round %d: the child wrote nothing", round)
		}
		db, err := Open(Options{Dir: dir, SegmentBytes: 256 << 10})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for w := range acked {
			value := strings.TrimRight(mustGet(t, db, fmt.Sprintf("/w/%d", w)), "x")
			n, _ := strconv.ParseInt(value, 10, 64)
			// One more may have become durable without being answered.
			if n < acked[w] || n > acked[w]+2 {
				t.Errorf("round %d: writer %d has %d, %d was acknowledged", round, w, n, acked[w])
			}
			last, err := db.Journal().Last(t.Context(), journal.Owner(fmt.Sprintf("w/%d", w)))
			if err != nil || last < n {
				t.Errorf("round %d: writer %d has %d, its journal ends at %d, %v", round, w, n, last, err)
			}
			acked[w] = n
		}
		db.abandon()
	}
	t.Logf("%d kills, %v writes", kills, acked)
}
