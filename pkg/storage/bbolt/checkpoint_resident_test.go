// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// residentKB is how much of a file is mapped and counted as this process's memory.
func residentKB(t *testing.T, path string) (kb int) {
	t.Helper()
	file, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	defer file.Close()
	of := false
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := lines.Text()
		if fields := strings.Fields(line); len(fields) > 1 && !strings.HasSuffix(fields[0], ":") {
			of = strings.HasSuffix(line, path)
		}
		var n int
		if _, err := fmt.Sscanf(line, "Rss: %d kB", &n); err == nil && of {
			kb += n
		}
	}
	return kb
}

func TestACheckpointLeavesNothingOfItsFileResident(t *testing.T) {
	t.Parallel()
	db := openTest(t, Options{CheckpointInterval: time.Hour, noSync: true})
	const keys = 1000
	for i := range keys {
		mustPut(t, db, fmt.Sprintf("/p/%04d", i), string(benchValue(i)), 0)
	}
	revision := int64(0)
	checkpoint := func() {
		t.Helper()
		revision = mustPut(t, db, "/q", "something to write", revision)
		if err := db.Checkpoint(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	checkpoint()
	read := func() int {
		for i := range keys {
			if got, want := mustGet(t, db, fmt.Sprintf("/p/%04d", i)), string(benchValue(i)); got != want {
				t.Fatalf("key %d: %.40q, want %.40q", i, got, want)
			}
		}
		return residentKB(t, db.checkpoint.path)
	}
	before := read()
	checkpoint()
	after := residentKB(t, db.checkpoint.path)
	if before < 512 || after > before/4 {
		t.Errorf("%d kB of the file are resident after reading all of it, %d kB after the next checkpoint", before, after)
	}
	read()
}
