// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bubblewrap_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"safebeam.dev/safebeam/pkg/launcher/bubblewrap"
)

// What is small is copied and what is large bound in, and the guest cannot tell which.
func TestTheGuestReadsTheHostsFilesOfEtcAndWritesNone(t *testing.T) {
	t.Parallel()
	_, sb := newWorld(t).start(t, bubblewrap.Spec{})
	var paths []string
	for _, name := range bubblewrap.Etc {
		inside, _ := filepath.Glob(filepath.Join("/etc", name, "*"))
		paths = append(append(paths, filepath.Join("/etc", name)), inside...)
	}
	var files []string
	var want strings.Builder
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o004 == 0 || info.Size() > 1<<20 {
			continue
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, path)
		fmt.Fprintf(&want, "%x  %s\n", sha256.Sum256(content), path)
	}
	if len(files) < 3 {
		t.Errorf("%q of /etc are looked at, which are not enough to mean something", files)
	}
	if got := sh(t, sb, "sha256sum "+strings.Join(files, " ")); got.stdout != want.String() {
		t.Errorf("the guest reads %s%s, want %s", got.stdout, got.stderr, want.String())
	}
	files = append(files, "/etc/passwd", "/etc/group", "/etc/hosts", "/etc/new", "/run/safebeam/ca.pem", "/run/safebeam/new")
	if got := sh(t, sb, "for f in "+strings.Join(files, " ")+"; do chmod u+w $f; rm -f $f; echo x > $f && echo $f; done; echo tried"); got.stdout != "tried\n" {
		t.Errorf("the guest has written %s", got.stdout)
	}
	if got := sh(t, sb, "wc -l < /etc/passwd; wc -l < /etc/group; grep -c localhost /etc/hosts").stdout; got != "2\n2\n2\n" {
		t.Errorf("lines of passwd, group and hosts: %q", got)
	}
}

// A launcher that is root may read what the guest may not: that is bound in, and keeps
// its permissions.
func TestOnlyWhatEverybodyMayReadIsCopied(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, size int, mode os.FileMode) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, size), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("small", 100, 0o644)
	write("secret", 100, 0o600)
	write("large", 1<<20, 0o644)
	write("few/one", 100, 0o644)
	write("few/secret", 100, 0o640)
	write("nested/dir/one", 100, 0o644)
	for _, name := range []string{"1", "2", "3", "4", "5"} {
		write("many/"+name, 1, 0o644)
	}
	for name, want := range map[string][]string{
		"small":   {"copied to /etc/small"},
		"secret":  {"bound to /etc/secret"},
		"large":   {"bound to /etc/large"},
		"few":     {"made /etc/few", "copied to /etc/few/one", "bound to /etc/few/secret"},
		"nested":  {"bound to /etc/nested"},
		"many":    {"bound to /etc/many"},
		"missing": nil,
	} {
		got := bubblewrap.LaidOut(filepath.Join(dir, name), "/etc/"+name)
		if len(got) != len(want) {
			t.Errorf("%s: %q, want %q", name, got, want)
			continue
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	}
}
