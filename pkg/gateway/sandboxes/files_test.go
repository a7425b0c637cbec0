// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxes_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
)

var ctx = context.Background()

func put(sb *sandboxes.Sandbox, path string, content []byte) error {
	_, _, err := sb.WritePart(ctx, sandboxes.Part{Path: path, Upload: <-ids, Commit: true, Total: uint64(len(content))}, bytes.NewReader(content))
	return err
}

func get(sb *sandboxes.Sandbox, path string) ([]byte, error) {
	_, r, err := sb.Read(ctx, path, 0, 0)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func TestFilesGoInAndOut(t *testing.T) {
	t.Parallel()
	sb, _, workspace := newGateway(t).sandbox(t, "pod")
	content := make([]byte, 3<<20+17)
	rand.Read(content)
	path := workspace + "/new/dirs/file with\nnewline"
	if err := put(sb, path, content); err != nil {
		t.Fatal(err)
	}
	if got, err := get(sb, path); err != nil || !bytes.Equal(got, content) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	info, r, err := sb.Read(ctx, path, 1<<20, 100)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	r.Close()
	if err != nil || !bytes.Equal(got, content[1<<20:1<<20+100]) || info.Size != int64(len(content)) || info.Mode != 0o644 {
		t.Errorf("a range: %d bytes, %+v, %v", len(got), info, err)
	}
	if err := put(sb, workspace+"/empty", nil); err != nil {
		t.Error(err)
	}
	if got, err := get(sb, workspace+"/empty"); err != nil || len(got) != 0 {
		t.Errorf("an empty file: %q, %v", got, err)
	}
	if _, _, err := sb.Read(ctx, path, 1<<40, 0); status.Code(err) != codes.OutOfRange {
		t.Errorf("beyond the end: %v", err)
	}
}

func TestAnUploadInPartsAppearsAtOnceAndWhole(t *testing.T) {
	t.Parallel()
	sb, _, workspace := newGateway(t).sandbox(t, "pod")
	path := workspace + "/file"
	if err := put(sb, path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	part := sandboxes.Part{Path: path, Upload: "u", Mode: 0o640}
	send := func(offset uint64, content string, commit bool) error {
		p := part
		p.Offset, p.Commit, p.Total = offset, commit, 9
		_, _, err := sb.WritePart(ctx, p, strings.NewReader(content))
		return err
	}
	if err := send(0, "abc", false); err != nil {
		t.Fatal(err)
	}
	if err := send(6, "ghi", false); status.Code(err) != codes.OutOfRange {
		t.Errorf("a hole: %v", err)
	}
	if err := send(3, "def", true); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a commit that comes too early: %v", err)
	}
	if err := send(3, "def", false); err != nil {
		t.Errorf("a part again: %v", err)
	}
	if got, _ := get(sb, path); string(got) != "old" {
		t.Errorf("before the commit: %q", got)
	}
	if names, _ := os.ReadDir(workspace); len(names) != 1 {
		t.Errorf("before the commit there are %v", names)
	}
	if err := send(6, "ghi", true); err != nil {
		t.Fatal(err)
	}
	if got, _ := get(sb, path); string(got) != "abcdefghi" {
		t.Errorf("after the commit: %q", got)
	}
	if info, err := sb.Stat(ctx, path); err != nil || info.Mode != 0o640 {
		t.Errorf("%+v, %v", info, err)
	}
	if err := send(3, "x", false); status.Code(err) != codes.NotFound {
		t.Errorf("after its end: %v", err)
	}
	if _, _, err := sb.WritePart(ctx, sandboxes.Part{Path: path, Upload: "large"}, io.LimitReader(endless{}, sandboxes.MaxPart+1)); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a part over the limit: %v", err)
	}
	if err := send(0, "abc", false); err != nil {
		t.Fatal(err)
	}
	if err := sb.AbortUpload(ctx, path, "u"); err != nil {
		t.Error(err)
	}
	if err := send(3, "def", false); status.Code(err) != codes.NotFound {
		t.Errorf("after it was given up: %v", err)
	}
}

func TestPathsLeadNowhereElse(t *testing.T) {
	t.Parallel()
	sb, _, workspace := newGateway(t).sandbox(t, "pod")
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	os.Mkdir(workspace+"/dir", 0o755)
	os.WriteFile(workspace+"/dir/inside", []byte("x"), 0o644)
	os.Symlink(outside, workspace+"/link")
	os.Symlink(filepath.Dir(outside), workspace+"/dirlink")
	os.Symlink("dir", workspace+"/insidelink")
	os.Symlink("/proc/self/root", workspace+"/magic")
	syscall.Mkfifo(workspace+"/pipe", 0o666)
	for _, path := range []string{
		outside, "/etc/passwd", "/", "", "relative", workspace + "/../x", workspace + "/dir/../../x", workspace + "/dirlink/secret",
		workspace + "/insidelink/inside", workspace + "/magic/etc/passwd", workspace + "/a\x00b", workspace + "x/y", workspace + "/" + strings.Repeat("a/", 3000),
		"/proc/self/environ", "/proc/1/mem",
	} {
		t.Run(path[:min(len(path), 60)], func(t *testing.T) {
			_, read := get(sb, path)
			_, stat := sb.Stat(ctx, path)
			_, mkdir := sb.MakeDir(ctx, path, 0o755, true)
			_, _, list := sb.List(ctx, path, "", 0)
			_, _, untar := sb.WriteTar(ctx, path, bytes.NewReader(archive(t, entry{Name: "x", body: "x"})))
			archived, tarErr := sb.ReadTar(ctx, path)
			if tarErr == nil {
				archived.Close()
			}
			for name, err := range map[string]error{
				"read": read, "stat": stat, "mkdir": mkdir, "list": list, "untar": untar, "tar": tarErr,
				"write": put(sb, path, []byte("owned")), "delete": sb.Delete(ctx, path, true),
			} {
				if code := status.Code(err); code != codes.PermissionDenied && code != codes.FailedPrecondition && code != codes.InvalidArgument {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	for name, path := range map[string]string{"a link": "/link", "a pipe": "/pipe", "a directory": "/dir"} {
		t.Run("reading "+name, func(t *testing.T) {
			if _, err := get(sb, workspace+path); err == nil || status.Code(err) == codes.Internal {
				t.Errorf("got %v", err)
			}
		})
	}
	// What is itself a link is replaced, told of and deleted as a link.
	if info, err := sb.Stat(ctx, workspace+"/link"); err != nil || info.LinkTarget != outside {
		t.Errorf("%+v, %v", info, err)
	}
	if err := put(sb, workspace+"/link", []byte("mine")); err != nil {
		t.Error(err)
	}
	if err := sb.Delete(ctx, workspace+"/dirlink", true); err != nil {
		t.Error(err)
	}
	if b, _ := os.ReadFile(outside); string(b) != "secret" {
		t.Errorf("outside: %q", b)
	}
	if err := sb.Delete(ctx, workspace, true); status.Code(err) != codes.PermissionDenied {
		t.Errorf("deleting the writable path itself: %v", err)
	}
}

// The guest exchanges a directory for a link all the time. What is put while there
// is neither makes the directory anew, which the guest then has to clear away, or
// it could never put its own back.
func TestNoRaceLeadsOutside(t *testing.T) {
	t.Parallel()
	sb, _, workspace := newGateway(t).sandbox(t, "pod")
	outside := t.TempDir()
	if err := os.WriteFile(outside+"/file", []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	run, stop := context.WithCancel(ctx)
	defer stop()
	started := make(chan struct{})
	go sb.Run(run, sandboxes.Command{ID: <-ids, Argv: []string{"perl", "-e", `chdir $ARGV[0]; mkdir "d"; open F, ">d/file"; print F "inside"; close F; symlink $ARGV[1], "l";
		while (getppid() != 1) { rename "d", "x"; rename "l", "d"; rename "d", "l"; rename "x", "d" or unlink("d/new"), rmdir "d" }`, workspace, outside}},
		sandboxes.Streams{Started: func(time.Time) { close(started) }})
	<-started
	inside, refused := 0, 0
	// On a busy machine the guest may sleep for long where it is.
	for i, deadline := 0, time.Now().Add(time.Minute); i < 3000 || inside == 0 || refused == 0; i++ {
		if time.Now().After(deadline) {
			t.Fatalf("of %d reads %d met the directory and %d something else: little was tried", i, inside, refused)
		}
		if got, err := get(sb, workspace+"/d/file"); err != nil {
			refused++
		} else if inside++; string(got) != "inside" && len(got) != 0 {
			t.Fatalf("read %q", got)
		}
		if i%10 == 0 {
			put(sb, workspace+"/d/new", []byte("x"))
			sb.Delete(ctx, workspace+"/d/file2", true)
		}
	}
	stop()
	eventually(t, func() bool {
		h, err := sb.Health(ctx)
		return err == nil && h.ProcessesRunning == 0
	})
	if names, _ := os.ReadDir(outside); len(names) != 1 {
		t.Errorf("outside there are %v", names)
	}
}

func TestAListingIsSortedAndInPages(t *testing.T) {
	t.Parallel()
	sb, _, workspace := newGateway(t).sandbox(t, "pod")
	for i := range 1000 {
		os.WriteFile(fmt.Sprintf("%s/%03d", workspace, (i*7)%1000), nil, 0o600)
	}
	var names []string
	for after, more := "", true; more; {
		var entries []sandboxes.FileInfo
		var err error
		if entries, more, err = sb.List(ctx, workspace, after, 300); err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name)
			after = e.Name
		}
	}
	if len(names) != 1000 {
		t.Fatalf("%d names", len(names))
	}
	for i, name := range names {
		if name != fmt.Sprintf("%03d", i) {
			t.Fatalf("entry %d is %s", i, name)
		}
	}
}

func TestNamesNeedNotBeUTF8(t *testing.T) {
	t.Parallel()
	sb, _, workspace := newGateway(t).sandbox(t, "pod")
	name := "caf\xe9 \x01\n"
	if err := put(sb, workspace+"/"+name, []byte("x")); err != nil {
		t.Fatal(err)
	}
	os.Symlink("\xff", workspace+"/zlink")
	entries, _, err := sb.List(ctx, workspace, "", 0)
	if err != nil || len(entries) != 2 || entries[0].Name != name || entries[1].LinkTarget != "\xff" {
		t.Fatalf("%+v, %v", entries, err)
	}
	for _, path := range []string{"/" + name, "/./" + name, "//" + name + "/", "/" + name + "/."} { // it is one name, however it is written
		if got, err := get(sb, workspace+path); err != nil || string(got) != "x" {
			t.Errorf("%q: %q, %v", path, got, err)
		}
	}
	if err := sb.Delete(ctx, workspace+"/no\xffsuch", false); status.Code(err) != codes.NotFound {
		t.Errorf("got %v", err)
	}
}

func TestDeleteTakesATreeOnlyIfTold(t *testing.T) {
	t.Parallel()
	sb, _, workspace := newGateway(t).sandbox(t, "pod")
	outside := filepath.Join(t.TempDir(), "kept")
	os.WriteFile(outside, nil, 0o600)
	os.MkdirAll(workspace+"/a/b/c", 0o755)
	os.Symlink(filepath.Dir(outside), workspace+"/a/b/out")
	for i := range 600 {
		os.WriteFile(fmt.Sprintf("%s/a/b/%d", workspace, i), nil, 0o600)
	}
	if err := sb.Delete(ctx, workspace+"/a", false); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("not recursive: %v", err)
	}
	if err := sb.Delete(ctx, workspace+"/a", true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(workspace + "/a"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is there: %v", err)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Errorf("what a link pointed to: %v", err)
	}
	if err := sb.Delete(ctx, workspace+"/a", true); status.Code(err) != codes.NotFound {
		t.Errorf("again: %v", err)
	}
}

type entry struct {
	Name, Link, body string
	Type             byte
	Mode             int64
}

func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if e.Type == 0 {
			e.Type = tar.TypeReg
		}
		if e.Mode == 0 {
			e.Mode = 0o644
		}
		if err := w.WriteHeader(&tar.Header{Name: e.Name, Linkname: e.Link, Typeflag: e.Type, Mode: e.Mode, Size: int64(len(e.body)), ModTime: time.Unix(1e9, 0)}); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, e.body)
	}
	w.Close()
	return b.Bytes()
}

func TestADirectoryGoesInAndOutAsTar(t *testing.T) {
	t.Parallel()
	sb, _, workspace := newGateway(t).sandbox(t, "pod")
	in := archive(t,
		entry{Name: "./", Type: tar.TypeDir, Mode: 0o755},
		entry{Name: "a/", Type: tar.TypeDir, Mode: 0o750},
		entry{Name: "a/script", body: "#!/bin/sh\n", Mode: 0o4755},
		entry{Name: "a/link", Type: tar.TypeSymlink, Link: "../b/c"},
		entry{Name: "b/c", body: strings.Repeat("0123456789", 100_000)},
		entry{Name: "hard", Type: tar.TypeLink, Link: "b/c"},
		entry{Name: strings.Repeat("long/", 60) + "name", body: "x"},
	)
	entries, size, err := sb.WriteTar(ctx, workspace+"/tree", bytes.NewReader(in))
	if err != nil || entries != 7 || size != 1_000_011 {
		t.Fatalf("%d entries, %d bytes, %v", entries, size, err)
	}
	info, err := os.Stat(workspace + "/tree/a/script")
	if err != nil || info.Mode() != 0o755 || info.ModTime().Unix() != 1e9 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	// What means nothing elsewhere is left out.
	syscall.Mkfifo(workspace+"/tree/pipe", 0o600)
	r, err := sb.ReadTar(ctx, workspace+"/tree")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := map[string]string{}
	for reader := tar.NewReader(r); ; {
		h, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(reader)
		got[h.Name] = fmt.Sprintf("%c %o %s %d", h.Typeflag, h.Mode, h.Linkname, len(body))
	}
	for name, want := range map[string]string{"a/": "5 750  0", "a/script": "0 755  10", "a/link": "2 777 ../b/c 0", "b/c": "0 644  1000000", "hard": "0 644  1000000", strings.Repeat("long/", 60) + "name": "0 644  1"} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if _, there := got["pipe"]; there {
		t.Error("a pipe is in the archive")
	}
}

func TestAnArchiveThatWouldLeaveItsDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	sb, _, workspace := newGateway(t).sandbox(t, "pod")
	outside := t.TempDir()
	os.MkdirAll(workspace+"/tree", 0o755)
	os.Symlink(outside, workspace+"/tree/out")
	for name, entries := range map[string][]entry{
		"an absolute name":             {{Name: "/etc/x", body: "x"}},
		"a parent":                     {{Name: "../x", body: "x"}},
		"a parent inside":              {{Name: "a/../../x", body: "x"}},
		"an absolute link":             {{Name: "l", Type: tar.TypeSymlink, Link: "/etc"}},
		"a link out":                   {{Name: "a/l", Type: tar.TypeSymlink, Link: "../../x"}},
		"a link, and through it":       {{Name: "l", Type: tar.TypeSymlink, Link: "a"}, {Name: "l/x", body: "x"}},
		"a hard link out":              {{Name: "h", Type: tar.TypeLink, Link: "../../etc/passwd"}},
		"an absolute hard link":        {{Name: "h", Type: tar.TypeLink, Link: "/etc/passwd"}},
		"through a link that is there": {{Name: "out/x", body: "x"}},
		"a device":                     {{Name: "d", Type: tar.TypeBlock}},
		"a pipe":                       {{Name: "p", Type: tar.TypeFifo}},
		"the directory itself":         {{Name: ".", body: "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := sb.WriteTar(ctx, workspace+"/tree", bytes.NewReader(archive(t, entries...))); err == nil {
				t.Error("it was unpacked")
			}
			if names, _ := os.ReadDir(outside); len(names) != 0 {
				t.Errorf("outside there are %v", names)
			}
		})
	}
	if _, _, err := sb.WriteTar(ctx, workspace+"/tree", strings.NewReader(strings.Repeat("no tar", 1000))); status.Code(err) != codes.InvalidArgument {
		t.Errorf("no archive: %v", err)
	}
}
