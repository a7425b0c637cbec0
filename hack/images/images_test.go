// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTheSameInputsMakeTheSameBytes(t *testing.T) {
	content := filepath.Join(t.TempDir(), "content")
	if err := os.WriteFile(content, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	entries := []entry{
		{name: "etc/", mode: 0o755},
		{name: "etc/hello", mode: 0o644, from: content},
		{name: "etc/link", mode: 0o777, target: "hello"},
		{name: "workspace/", mode: 0o755, owner: sandboxUser},
	}
	var made [][]byte
	for range 2 {
		slices.Reverse(entries) // the order of what comes in counts for nothing
		out := filepath.Join(t.TempDir(), "image.tar")
		err := writeImage(out, entries, image{name: "localhost/a:b", created: time.Unix(1, 0).UTC(), labels: map[string]string{"x": "1", "y": "2"}})
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, data)
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(out), ".*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	if !bytes.Equal(made[0], made[1]) {
		t.Error("two images of the same inputs differ")
	}
}

func TestWhatIsDropped(t *testing.T) {
	u := unpacker{dropped: []string{"usr/share/doc/", "usr/lib/python3/numpy/*/tests/", "usr/lib/python3*/EXTERNALLY-MANAGED"}}
	for name, drops := range map[string]bool{
		"usr/share/doc/":                            true,
		"usr/share/doc/bash/":                       true,
		"usr/share/doc/bash/NEWS.gz":                true,
		"usr/share/doc/bash/copyright":              false,
		"usr/share/docs/a":                          false,
		"usr/lib/python3/numpy/core/tests/":         true,
		"usr/lib/python3/numpy/core/tests/a/b.py":   true,
		"usr/lib/python3/numpy/core/tests":          false, // a file
		"usr/lib/python3/numpy/core/core.py":        false,
		"usr/lib/python3.11/EXTERNALLY-MANAGED":     true,
		"usr/lib/python3.11/sub/EXTERNALLY-MANAGED": false,
	} {
		if got := u.drops(strings.TrimSuffix(name, "/"), strings.HasSuffix(name, "/")); got != drops {
			t.Errorf("%s dropped: %v", name, got)
		}
	}
}

// A package's archive is not trusted to stay in the root.
func TestUnpackingStaysInTheRoot(t *testing.T) {
	outside := t.TempDir()
	for name, headers := range map[string][]tar.Header{
		"dots":              {{Name: "../escaped", Typeflag: tar.TypeReg, Mode: 0o644}},
		"through a link":    {{Name: "./out", Typeflag: tar.TypeSymlink, Linkname: outside}, {Name: "./out/escaped", Typeflag: tar.TypeReg, Mode: 0o644}},
		"a hard link":       {{Name: "./escaped", Typeflag: tar.TypeLink, Linkname: "../../../../../../etc/hostname"}},
		"a device":          {{Name: "./escaped", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}},
		"a link to nowhere": {{Name: "./out", Typeflag: tar.TypeSymlink, Linkname: filepath.Join(outside, "nowhere")}, {Name: "./out/escaped", Typeflag: tar.TypeReg}},
	} {
		root, err := os.OpenRoot(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		var archive bytes.Buffer
		w := tar.NewWriter(&archive)
		for _, h := range headers {
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
		}
		u := unpacker{root: root}
		if err := u.archive(tar.NewReader(&archive)); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if left, _ := os.ReadDir(outside); len(left) > 0 {
			t.Errorf("%s: %v was written outside", name, left)
		}
		root.Close()
	}
}

func TestNoBitsThatChangeTheUser(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: "./su", Typeflag: tar.TypeReg, Mode: 0o6755}); err != nil {
		t.Fatal(err)
	}
	u := unpacker{root: root}
	if err := u.archive(tar.NewReader(&archive)); err != nil {
		t.Fatal(err)
	}
	if info, err := root.Stat("su"); err != nil || info.Mode() != 0o755 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// What is in the recipes must be what the checks can check.
func TestRecipesAreWhole(t *testing.T) {
	for name, r := range recipes {
		r = r.merged()
		if r.language != name || len(r.checks) <= len(baseChecks) {
			t.Errorf("%s is %s with %d checks", name, r.language, len(r.checks))
		}
		for _, p := range r.packages {
			if slices.Contains(r.leftOut, p) {
				t.Errorf("%s both has %s and leaves it out", name, p)
			}
		}
	}
}
