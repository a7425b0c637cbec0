// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/component-base/version"

	"safebeam.dev/safebeam/pkg/storage"
	"safebeam.dev/safebeam/pkg/storage/bbolt"
)

// call runs the program by a name and returns what it says.
func call(t *testing.T, name string, args ...string) (code int, out, errOut string) {
	t.Helper()
	streams, _, stdout, stderr := genericiooptions.NewTestIOStreams()
	code = run(t.Context(), streams, name, args)
	return code, stdout.String(), stderr.String()
}

func TestTheNameItIsCalledByChoosesTheCommand(t *testing.T) {
	for name, want := range map[string]string{
		"safebeam":                    "safebeam standalone",
		"kubectl-create-turn":         "kubectl create turn CONVERSATION",
		"kubectl-create-conversation": "kubectl create conversation NAME",
		"kubectl-chat":                "kubectl chat CONVERSATION",
		"kubectl-sandbox":             "kubectl sandbox run --runtime",
		"renamed":                     "safebeam standalone",
	} {
		if code, out, _ := call(t, name, "--help"); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s --help: %d\n%s", name, code, out)
		}
	}
}

func TestWhereThereIsNoKubectlItsFlagsAreShown(t *testing.T) {
	code, out, _ := call(t, "safebeam", "sandbox", "ls", "--help")
	own, global, apart := strings.Cut(out, "\nGlobal Flags:\n")
	if code != 0 || !apart || !strings.Contains(own, "--long") || strings.Contains(own, "--kubeconfig") || !strings.Contains(global, "--kubeconfig") {
		t.Errorf("%d\n%s", code, out)
	}
}

func TestAProgramSaysWhichOneItIs(t *testing.T) {
	if code, out, _ := call(t, "safebeam", "--version"); code != 0 || !strings.Contains(out, version.Get().GitVersion) {
		t.Errorf("%d\n%s", code, out)
	}
}

func TestMistakesAreToldOnStandardError(t *testing.T) {
	for _, args := range [][]string{{"standalon"}, {"standalone", "--no-such-flag"}, {"standalone", "extra"}, {"store", "restore"}} {
		if code, out, errOut := call(t, "safebeam", args...); code != 1 || out != "" || !strings.HasPrefix(errOut, "error: ") {
			t.Errorf("%v: %d, %q, %q", args, code, out, errOut)
		}
	}
}

func TestStandaloneRefusesWhatItCannotHonour(t *testing.T) {
	open := t.TempDir()
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args []string
		says string
	}{
		"others may write": {[]string{"--data-dir", open}, "others may write"},
		"gateway address":  {[]string{"--data-dir", t.TempDir(), "--gateway-address", "nowhere"}, "--gateway-address"},
		"turn ttl":         {[]string{"--data-dir", t.TempDir(), "--turn-ttl", "-1s"}, "--turn-ttl"},
		"backend":          {[]string{"--data-dir", t.TempDir(), "--storage-backend", "paper"}, "--storage-backend"},
		"etcd servers":     {[]string{"--data-dir", t.TempDir(), "--etcd-servers", "http://127.0.0.1:1"}, "--etcd-servers"},
		"limits":           {[]string{"--data-dir", t.TempDir(), "--max-requests-inflight", "0"}, "--max-requests-inflight"},
	} {
		if code, _, errOut := call(t, "safebeam", append([]string{"standalone"}, test.args...)...); code != 1 || !strings.Contains(errOut, test.says) {
			t.Errorf("%s: %d, %q; want an error about %q", name, code, errOut, test.says)
		}
	}
}

func TestTheStoreIsCheckedSavedRestoredAndShrunk(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "snapshot")
	db, err := bbolt.Open(bbolt.Options{Dir: storage.BBoltDir(dir)})
	if err != nil {
		t.Fatal(err)
	}
	if code, _, errOut := call(t, "safebeam", "store", "snapshot", file, "--data-dir", dir); code != 1 || !strings.Contains(errOut, "kubectl get --raw /snapshot") {
		t.Errorf("a store in use: %d, %q; want an error that says what to do", code, errOut)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Error("a snapshot that failed left a file")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		args []string
		says string
	}{
		{[]string{"check"}, "sound"},
		{[]string{"defrag"}, "defragmented"},
		{[]string{"snapshot", file}, "sha256"},
	} {
		if code, out, errOut := call(t, "safebeam", append(append([]string{"store"}, step.args...), "--data-dir", dir)...); code != 0 || !strings.Contains(out, step.says) {
			t.Errorf("%v: %d, %q, %q", step.args, code, out, errOut)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the snapshot holds keys and has mode %v, %v", info.Mode(), err)
	}
	if code, _, errOut := call(t, "safebeam", "store", "snapshot", file, "--data-dir", dir); code != 1 || !strings.Contains(errOut, "exists") {
		t.Errorf("over an older snapshot: %d, %q", code, errOut)
	}
	if code, _, errOut := call(t, "safebeam", "store", "restore", file, "--data-dir", dir); code != 1 || !strings.Contains(errOut, "exists") {
		t.Errorf("over a store: %d, %q", code, errOut)
	}
	fresh := t.TempDir()
	if code, out, errOut := call(t, "safebeam", "store", "restore", file, "--data-dir", fresh); code != 0 || !strings.Contains(out, "restored") {
		t.Errorf("restore: %d, %q, %q", code, out, errOut)
	}
	if code, out, _ := call(t, "safebeam", "store", "check", "--data-dir", fresh); code != 0 || !strings.Contains(out, "sound") {
		t.Errorf("check of what was restored: %d, %q", code, out)
	}
	if code, _, errOut := call(t, "safebeam", "store", "check", "--data-dir", t.TempDir()); code != 1 || errOut == "" {
		t.Errorf("check of nothing: %d, %q", code, errOut)
	}
}
