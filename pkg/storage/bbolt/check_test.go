// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	build := func(t *testing.T) string {
		dir := t.TempDir()
		db, err := Open(Options{Dir: dir, SegmentBytes: minSegmentBytes})
		if err != nil {
			t.Fatal(err)
		}
		fillPrefix(t, db, "/p/", 1000)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	dir := build(t)
	report, err := Check(ctx, dir)
	if err != nil || report.Err() != nil || report.Revision != 1001 || report.Contents.Keys != 1000 || !strings.Contains(report.String(), "sound") {
		t.Fatalf("%v, %v\n%s", err, report.Err(), report)
	}
	if _, err := Check(ctx, t.TempDir()); err == nil {
		t.Error("an empty directory is no store")
	}
	flip := func(name string, at func(b []byte) int) func(string) {
		return func(dir string) {
			path := filepath.Join(dir, name)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b[at(b)] ^= 0x10
			os.WriteFile(path, b, 0o600)
		}
	}
	value := func(b []byte) int {
		return bytes.Index(b, []byte("/p/000700")) + 40
	}
	for _, c := range []struct {
		name, expect string
		damage       func(dir string)
	}{
		{"a value in the log's history", "is damaged", flip(filepath.Join(logDirName, segmentName(1)), func([]byte) int { return segmentHeaderSize + 5000 })},
		{"a segment's header", "header", flip(filepath.Join(logDirName, segmentName(2)), func([]byte) int { return 20 })},
		{"a value in the checkpoint", "checksum of key", flip(checkpointName, func(b []byte) int {
			// The value's page holds the key before it.
			return value(b)
		})},
	} {
		dir := build(t)
		c.damage(dir)
		report, err := Check(ctx, dir)
		if err != nil || !errors.Is(report.Err(), ErrCorrupt) || !strings.Contains(report.String(), c.expect) {
			t.Errorf("%s: %v\n%s", c.name, err, report)
		}
	}
}
