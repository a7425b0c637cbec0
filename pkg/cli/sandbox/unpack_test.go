// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func archiveOf(t *testing.T, headers ...tar.Header) *bytes.Buffer {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		content := "x"
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(content))
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(content)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &out
}

func file(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg} }
func folder(name string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}
}
func link(name, to string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}
}
func hard(name, to string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: to}
}

// A sandbox may send what it likes. Whatever it is, only what is below the
// target is written, and no link leads out of it.
func TestWhatASandboxSendsStaysBelowTheTarget(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		headers []tar.Header
		// refused ends the copy; leftOut goes on without an entry.
		refused, leftOut string
	}{
		"a tree":                         {headers: []tar.Header{folder("out/"), file("out/a"), file("out/b/c"), link("out/b/l", "../a"), hard("out/h", "out/a")}},
		"another name":                   {headers: []tar.Header{file("other")}, refused: "not asked for"},
		"a name that begins like it":     {headers: []tar.Header{file("outside")}, refused: "not asked for"},
		"dots":                           {headers: []tar.Header{file("out/../../escaped")}, refused: "not asked for"},
		"dots at the beginning":          {headers: []tar.Header{file("../escaped")}, refused: "not asked for"},
		"absolute":                       {headers: []tar.Header{file("/etc/escaped")}, refused: "not asked for"},
		"a link to an absolute path":     {headers: []tar.Header{folder("out/"), link("out/l", "/etc/passwd")}, leftOut: "/etc/passwd"},
		"a link that climbs out":         {headers: []tar.Header{folder("out/"), link("out/l", "../escaped")}, leftOut: "../escaped"},
		"the top as a link":              {headers: []tar.Header{link("out", "escaped")}, leftOut: "escaped"},
		"a link that climbs back":        {headers: []tar.Header{folder("out/"), link("out/l", "../out/a")}, leftOut: "../out/a"},
		"a link through a link":          {headers: []tar.Header{folder("out/"), folder("out/a/"), folder("out/a/b/"), link("out/a/b/up", ".."), link("out/l", "a/b/up/../..")}, leftOut: "a/b/up/../.."},
		"through a link of its own":      {headers: []tar.Header{folder("out/"), folder("out/a/"), link("out/l", "a"), file("out/l/x")}, refused: "through links"},
		"a folder over a link":           {headers: []tar.Header{folder("out/"), folder("out/a/"), link("out/l", "a"), folder("out/l/")}, refused: "through links"},
		"through a link that is here":    {headers: []tar.Header{folder("out/"), file("out/here/x")}, refused: "through links"},
		"over a link that is here":       {headers: []tar.Header{folder("out/"), file("out/here")}},
		"a hard link out":                {headers: []tar.Header{folder("out/"), hard("out/h", "/etc/passwd")}, leftOut: "/etc/passwd"},
		"a hard link through a link":     {headers: []tar.Header{folder("out/"), hard("out/h", "out/here/secret")}, refused: "through links"},
		"a hard link to a link":          {headers: []tar.Header{folder("out/"), file("out/a"), link("out/l", "a"), hard("out/h", "out/l")}, refused: "is no file"},
		"a device":                       {headers: []tar.Header{folder("out/"), {Name: "out/d", Typeflag: tar.TypeChar, Devmajor: 1}}, leftOut: "neither file"},
		"a pipe":                         {headers: []tar.Header{folder("out/"), {Name: "out/p", Typeflag: tar.TypeFifo}}, leftOut: "neither file"},
		"a file over a folder":           {headers: []tar.Header{folder("out/"), folder("out/a/"), file("out/a")}, refused: "is a folder here"},
		"a folder over a file":           {headers: []tar.Header{folder("out/"), file("out/a"), file("out/a/b")}, refused: "is no folder"},
		"bits that change the user":      {headers: []tar.Header{folder("out/"), {Name: "out/su", Typeflag: tar.TypeReg, Mode: 0o6755}}},
		"a name that moves the terminal": {headers: []tar.Header{folder("out/"), link("out/\x1b[2J", "/x")}, leftOut: `\x1b[2J`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			top := t.TempDir()
			dir, outside := filepath.Join(top, "dir"), filepath.Join(top, "outside")
			for _, err := range []error{
				os.MkdirAll(filepath.Join(dir, "out"), 0o755), os.Mkdir(outside, 0o755),
				os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o644),
				os.Symlink(outside, filepath.Join(dir, "out", "here")),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			root, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			var notes strings.Builder
			u := unpacker{root: root, base: "out", name: "out", note: func(format string, args ...any) { fmt.Fprintf(&notes, format, args...) }}
			err = u.unpack(archiveOf(t, test.headers...))
			if test.refused == "" && err != nil || test.refused != "" && (err == nil || !strings.Contains(err.Error(), test.refused)) {
				t.Errorf("error %v, want %q", err, test.refused)
			}
			if !strings.Contains(notes.String(), test.leftOut) || test.leftOut == "" && notes.Len() > 0 {
				t.Errorf("notes %q, want %q", notes.String(), test.leftOut)
			}
			for _, place := range []string{top, outside} {
				found, _ := os.ReadDir(place)
				if len(found) != map[string]int{top: 2, outside: 1}[place] {
					t.Errorf("%s holds %v", place, found)
				}
			}
			if data, err := os.ReadFile(filepath.Join(outside, "secret")); err != nil || string(data) != "secret" {
				t.Errorf("what is outside was changed: %q, %v", data, err)
			}
			_ = filepath.WalkDir(dir, func(name string, found fs.DirEntry, err error) error {
				if err != nil || strings.HasSuffix(name, "/here") {
					return err
				}
				info, err := found.Info()
				if err != nil {
					return err
				}
				if info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
					t.Errorf("%s has mode %v", name, info.Mode())
				}
				if info.Mode()&fs.ModeSymlink != 0 {
					if to, err := filepath.EvalSymlinks(name); err == nil && !strings.HasPrefix(to, filepath.Join(dir, "out")) {
						t.Errorf("%s leads to %s", name, to)
					}
				}
				return nil
			})
		})
	}
}

// A few bytes there must not become any number of them here.
func TestSparseFilesAreNotBlownUp(t *testing.T) {
	t.Parallel()
	if version, err := exec.Command("tar", "--version").Output(); err != nil || !bytes.Contains(version, []byte("GNU tar")) {
		t.Skip("needs GNU tar on PATH, which writes sparse files: apt-get install tar")
	}
	sandbox := t.TempDir()
	sparse, err := os.Create(filepath.Join(sandbox, "out"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sparse.Truncate(1<<40), sparse.Close()); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"gnu", "pax"} {
		sent, err := exec.Command("tar", "-c", "-S", "--format="+format, "-C", sandbox, "out").Output()
		if err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		var notes strings.Builder
		u := unpacker{root: root, base: "out", name: "out", note: func(format string, args ...any) { fmt.Fprintf(&notes, format, args...) }}
		if err := u.unpack(bytes.NewReader(sent)); (err == nil || !strings.Contains(err.Error(), "sparse")) && !strings.Contains(notes.String(), "left out") {
			t.Errorf("%s: %v, %q", format, err, notes.String())
		}
		if info, err := root.Stat("out"); err == nil {
			t.Errorf("%s: a file of %d bytes", format, info.Size())
		}
	}
}

func TestProgressFitsItsLine(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		done, total int64
		width       int
		want        string
	}{
		{0, 0, 80, "a  0 B  0 B/s"},
		{3 << 20, 0, 80, "a  3.0 MiB  1.5 MiB/s"},
		{3 << 20, 6 << 20, 80, "a  [############............]  50%  3.0 MiB of 6.0 MiB  1.5 MiB/s"},
		{7 << 20, 6 << 20, 80, "a  [########################] 100%  6.0 MiB of 6.0 MiB  3.5 MiB/s"},
		{5 << 40, 10 << 40, 20, "a  [############...."},
	} {
		if got := line("a", test.done, test.total, 2*time.Second, test.width); got != test.want {
			t.Errorf("%d of %d: %q, want %q", test.done, test.total, got, test.want)
		}
	}
}
