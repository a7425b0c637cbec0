// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"safebeam.dev/safebeam/pkg/storage"
	"safebeam.dev/safebeam/pkg/storage/bbolt"
)

// In a pod there is nothing to bring a file in by, but standard input.
func TestASnapshotMayComeOnStandardInput(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "snapshot")
	db, err := bbolt.Open(bbolt.Options{Dir: storage.BBoltDir(dir)})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if code, _, errOut := call(t, "safebeam", "store", "snapshot", file, "--data-dir", dir); code != 0 {
		t.Fatal(errOut)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	restore := func(input []byte, dir string) (code int, said string) {
		streams, stdin, stdout, stderr := genericiooptions.NewTestIOStreams()
		stdin.Write(input)
		code = run(t.Context(), streams, "safebeam", []string{"store", "restore", "-", "--data-dir", dir})
		return code, stdout.String() + stderr.String()
	}
	fresh := filepath.Join(t.TempDir(), "data")
	if code, said := restore(whole[:len(whole)-1], fresh); code != 1 || !strings.Contains(said, "no whole snapshot") {
		t.Errorf("cut short: %d, %q", code, said)
	}
	if code, said := restore(whole, fresh); code != 0 || !strings.Contains(said, "restored") {
		t.Errorf("whole: %d, %q", code, said)
	}
	if code, out, _ := call(t, "safebeam", "store", "check", "--data-dir", fresh); code != 0 || !strings.Contains(out, "sound") {
		t.Errorf("check of what was restored: %d, %q", code, out)
	}
	if left, _ := filepath.Glob(filepath.Join(fresh, "restore-*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
