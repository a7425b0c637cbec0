// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/apiserver/servertest"
	"safebeam.dev/safebeam/pkg/registry/llmsafespace/sandbox"
)

// filer speaks to the files of one sandbox.
type filer struct {
	t      testing.TB
	client *http.Client
	base   string
}

func newFiler(t testing.TB, s *servertest.Server, sandbox string) *filer {
	t.Helper()
	client, err := rest.HTTPClientFor(s.Client)
	if err != nil {
		t.Fatal(err)
	}
	return &filer{t, client, s.Client.Host + "/apis/llmsafespace.dev/v1/namespaces/" + namespace + "/sandboxes/" + sandbox + "/files"}
}

type response struct {
	*http.Response
	body []byte
}

// do sends a request; header are pairs.
func (f *filer) do(method, path string, body io.Reader, header ...string) response {
	f.t.Helper()
	request, err := http.NewRequestWithContext(f.t.Context(), method, f.base+path, body)
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	r, err := f.client.Do(request)
	if err != nil {
		f.t.Fatal(err)
	}
	defer r.Body.Close()
	content, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return response{r, content}
}

func (f *filer) want(code int, method, path string, body io.Reader, header ...string) response {
	f.t.Helper()
	r := f.do(method, path, body, header...)
	if r.StatusCode != code {
		f.t.Errorf("%s %s: %d, not %d: %s", method, path, r.StatusCode, code, r.body)
	}
	return r
}

func text(s string) io.Reader { return strings.NewReader(s) }

// unsized hides the length of a body.
type unsized struct{ io.Reader }

func TestFiles(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Settings{Sandboxes: true})
	box := s.NewSandbox(t, namespace, "box")
	f := newFiler(t, s, "box")
	dir := box.Workspace

	t.Run("a file goes in and out as it is", func(t *testing.T) {
		content := make([]byte, 5<<20+3)
		(&pattern{}).Read(content)
		for name, body := range map[string]io.Reader{"known": bytes.NewReader(content), "unknown": unsized{bytes.NewReader(content)}, "empty": text(""), "unknown-empty": unsized{text("")}} {
			f.want(200, "PUT", dir+"/"+name+"?mode=0640", body)
			want := content
			if strings.HasSuffix(name, "empty") {
				want = nil
			}
			r := f.want(200, "GET", dir+"/"+name, nil)
			if !bytes.Equal(r.body, want) || r.ContentLength != int64(len(want)) || r.Header.Get("Content-Type") != "application/octet-stream" {
				t.Errorf("%s: %d bytes, %v", name, len(r.body), r.Header)
			}
			if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("%v, %v", info, err)
			}
		}
		if r := f.want(200, "HEAD", dir+"/known", nil); r.ContentLength != int64(len(content)) {
			t.Errorf("%v", r.Header)
		}
	})

	t.Run("a range is a part of it", func(t *testing.T) {
		f.want(200, "PUT", dir+"/digits", text("0123456789"))
		etag := f.want(200, "GET", dir+"/digits", nil).Header.Get("ETag")
		for _, tc := range []struct {
			header       []string
			code         int
			body, ranged string
		}{
			{[]string{"Range", "bytes=2-4"}, 206, "234", "bytes 2-4/10"},
			{[]string{"Range", "bytes=7-"}, 206, "789", "bytes 7-9/10"},
			{[]string{"Range", "bytes=-2"}, 206, "89", "bytes 8-9/10"},
			{[]string{"Range", "bytes=-99"}, 206, "0123456789", "bytes 0-9/10"},
			{[]string{"Range", "bytes=8-99"}, 206, "89", "bytes 8-9/10"},
			{[]string{"Range", "bytes=10-"}, 416, "", "bytes */10"},
			{[]string{"Range", "bytes=99999999999999-"}, 416, "", "bytes */10"},
			{[]string{"Range", "bytes=-0"}, 416, "", "bytes */10"},
			{[]string{"Range", "bytes=99999999999999999999-"}, 200, "0123456789", ""},
			{[]string{"Range", "lines=1-2"}, 200, "0123456789", ""},
			{[]string{"Range", "bytes=0-1,4-5"}, 200, "0123456789", ""},
			{[]string{"Range", "bytes=0-1", "If-Range", etag}, 206, "01", "bytes 0-1/10"},
			{[]string{"Range", "bytes=0-1", "If-Range", `"other"`}, 200, "0123456789", ""},
			{[]string{"If-Match", `"other"`}, 412, "", ""},
		} {
			r := f.want(tc.code, "GET", dir+"/digits", nil, tc.header...)
			if tc.code < 300 && string(r.body) != tc.body || r.Header.Get("Content-Range") != tc.ranged {
				t.Errorf("%q: %q, %q", tc.header, r.body, r.Header.Get("Content-Range"))
			}
		}
	})

	t.Run("parts appear at once, with the last one", func(t *testing.T) {
		path := dir + "/parts"
		f.want(200, "PUT", path, text("before"))
		part := func(code int, content, span string) response {
			t.Helper()
			return f.want(code, "PUT", path+"?upload=u-1", text(content), "Content-Range", span)
		}
		part(202, "0123", "bytes 0-3/*")
		part(202, "4567", "bytes 4-7/10")
		part(202, "67", "bytes 6-7/10") // again, as after an answer that was lost
		part(416, "x", "bytes 9-9/10")  // a hole
		if got := f.want(200, "GET", path, nil).body; string(got) != "before" {
			t.Errorf("%q before the last part", got)
		}
		part(200, "89", "bytes 8-9/10")
		if got := f.want(200, "GET", path, nil).body; string(got) != "0123456789" {
			t.Errorf("%q after it", got)
		}
		f.want(202, "PUT", path+"?upload=u-2", text("ab"), "Content-Range", "bytes 0-1/*")
		f.want(200, "PUT", path+"?upload=u-2", nil, "Content-Range", "bytes */2")
		if got := f.want(200, "GET", path, nil).body; string(got) != "ab" {
			t.Errorf("%q", got)
		}
		f.want(202, "PUT", path+"?upload=u-3", text("ab"), "Content-Range", "bytes 0-1/*")
		f.want(200, "DELETE", path+"?upload=u-3", nil)
		f.want(404, "PUT", path+"?upload=u-3", text("c"), "Content-Range", "bytes 2-2/3")
	})

	t.Run("a body that breaks off leaves what was", func(t *testing.T) {
		path := dir + "/torn"
		f.want(200, "PUT", path, text("before"))
		request, err := http.NewRequest("PUT", f.base+path, io.MultiReader(text("half of it"), broken{}))
		if err != nil {
			t.Fatal(err)
		}
		request.ContentLength = 100
		if r, err := f.client.Do(request); err == nil {
			r.Body.Close()
			t.Errorf("%d", r.StatusCode)
		}
		if got := f.want(200, "GET", path, nil).body; string(got) != "before" {
			t.Errorf("%q", got)
		}
	})

	t.Run("directories are listed, packed and unpacked", func(t *testing.T) {
		f.want(200, "PUT", dir+"/tree/below?directory=true&mode=0750", nil)
		for i := range 7 {
			f.want(200, "PUT", fmt.Sprintf("%s/tree/%d", dir, i), text(fmt.Sprint(i)))
		}
		if err := os.Symlink("0", dir+"/tree/link"); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/tree/no-\xff-text", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		var names []string
		next := ""
		for pages := 0; pages == 0 || next != ""; pages++ {
			var listing sandbox.Listing
			r := f.want(200, "GET", dir+"/tree?limit=4&continue="+next, nil, "Accept", "application/json")
			if err := json.Unmarshal(r.body, &listing); err != nil || len(listing.Entries) == 0 || len(listing.Entries) > 4 {
				t.Fatalf("%s, %v", r.body, err)
			}
			for _, e := range listing.Entries {
				names = append(names, e.Name+":"+e.Type+":"+e.Mode+":"+e.LinkTarget+":"+string(e.NameBytes))
			}
			next = listing.Continue
		}
		want := "0:File:0644:: 1:File:0644:: 2:File:0644:: 3:File:0644:: 4:File:0644:: 5:File:0644:: 6:File:0644:: below:Directory:0750:: link:Symlink:0777:0: no-\uFFFD-text:File:0600::no-\xff-text"
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%q", got)
		}
		archive := f.want(200, "GET", dir+"/tree", nil)
		if archive.Header.Get("Content-Type") != "application/x-tar" {
			t.Errorf("%v", archive.Header)
		}
		f.want(200, "PUT", dir+"/copy", bytes.NewReader(archive.body), "Content-Type", "application/x-tar")
		if got := f.want(200, "GET", dir+"/copy/6", nil).body; string(got) != "6" {
			t.Errorf("%q", got)
		}
		f.want(409, "DELETE", dir+"/copy", nil)
		f.want(200, "DELETE", dir+"/copy?recursive=true", nil)
		f.want(404, "GET", dir+"/copy", nil)
		if got := f.want(200, "GET", dir+"/tree/no-%FF-text", nil).body; len(got) != 0 {
			t.Errorf("%q", got)
		}
	})

	t.Run("a full disk is said to be full", func(t *testing.T) {
		full := t.TempDir()
		if err := syscall.Mount("tmpfs", full, "tmpfs", 0, "size=1m"); errors.Is(err, syscall.EPERM) {
			t.Skip("mounts a tmpfs: run as root")
		} else if err != nil {
			t.Fatal(err)
		}
		defer syscall.Unmount(full, syscall.MNT_DETACH)
		small := s.NewSandbox(t, namespace, "small", func(o *llmsafespacev1.Sandbox) { o.Spec.Filesystem.WritablePaths = []string{full} })
		r := newFiler(t, s, small.Name).want(507, "PUT", full+"/big", bytes.NewReader(make([]byte, 2<<20)))
		if !strings.Contains(string(r.body), "no space left") {
			t.Errorf("%s", r.body)
		}
	})
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Whatever is asked, nothing but the writable paths is touched, and the answer
// says what is wrong.
func TestFilesStayBeneathTheWritablePaths(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Settings{Sandboxes: true})
	box := s.NewSandbox(t, namespace, "box")
	f := newFiler(t, s, "box")
	dir, outside := box.Workspace, t.TempDir()
	secret := filepath.Join(outside, "secret")
	for _, err := range []error{
		os.WriteFile(secret, []byte("canary"), 0o644),
		os.Symlink(secret, dir+"/link"),
		os.Symlink(outside, dir+"/links"),
		os.Mkdir(dir+"/below", 0o755),
		os.WriteFile(dir+"/below/file", []byte("mine"), 0o644),
		syscall.Mkfifo(dir+"/pipe", 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	evil := func(name, target string, kind byte) io.Reader {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		w.WriteHeader(&tar.Header{Name: name, Linkname: target, Typeflag: kind, Mode: 0o644, Size: 0})
		w.Close()
		return &b
	}
	tarball := []string{"Content-Type", "application/x-tar"}
	big := fmt.Sprintf("bytes 0-%d/*", 16<<20)
	for _, tc := range []struct {
		name, method, path string
		body               io.Reader
		header             []string
		code               int
		says               string
	}{
		{"outside", "GET", secret, nil, nil, 403, "writable"},
		{"outside, to write", "PUT", outside + "/new", text("x"), nil, 403, "writable"},
		{"outside, to delete", "DELETE", secret, nil, nil, 403, "writable"},
		{"the root", "GET", "/", nil, nil, 400, "path of the file is missing"},
		{"no path", "GET", "", nil, nil, 400, "missing"},
		{"up", "GET", dir + "/../" + filepath.Base(filepath.Dir(dir)), nil, nil, 400, "'..'"},
		{"up, encoded", "GET", dir + "/%2e%2e/x", nil, nil, 400, "'..'"},
		{"up, with encoded slashes", "GET", dir + "/..%2f..%2fetc%2fpasswd", nil, nil, 400, "'..'"},
		{"NUL", "GET", dir + "/a%00b", nil, nil, 400, "NUL"},
		{"slashes", "GET", dir + "//file", nil, nil, 400, "slashes"},
		{"a symbolic link", "GET", dir + "/link", nil, nil, 403, "symbolic link"},
		{"through a symbolic link", "GET", dir + "/links/secret", nil, nil, 403, "symbolic link"},
		{"write through a symbolic link", "PUT", dir + "/links/new", text("x"), nil, 403, "symbolic link"},
		{"make through a symbolic link", "PUT", dir + "/links/new?directory=true", nil, nil, 403, "symbolic link"},
		{"unpack upwards", "PUT", dir + "/below", evil("../escaped", "", tar.TypeReg), tarball, 403, "escaped"},
		{"unpack an absolute path", "PUT", dir + "/below", evil("/etc/escaped", "", tar.TypeReg), tarball, 403, "escaped"},
		{"unpack a device", "PUT", dir + "/below", evil("device", "", tar.TypeChar), tarball, 400, "refused"},
		{"unpack rubbish", "PUT", dir + "/below", text(strings.Repeat("rubbish ", 1000)), tarball, 400, "tar"},
		{"a pipe", "GET", dir + "/pipe", nil, nil, 409, "regular"},
		{"nothing", "GET", dir + "/nothing", nil, nil, 404, "no such file"},
		{"a file as directory", "GET", dir + "/below/file/x", nil, nil, 409, "not a directory"},
		{"over a directory", "PUT", dir + "/below", text("x"), nil, 409, "directory"},
		{"a name that is too long", "PUT", dir + "/" + strings.Repeat("n", 256), text("x"), nil, 400, "too long"},
		{"too much at once", "PUT", dir + "/big", bytes.NewReader(make([]byte, 16<<20+1)), nil, 413, "parts"},
		{"too much at once, unannounced", "PUT", dir + "/big", unsized{bytes.NewReader(make([]byte, 17<<20))}, nil, 413, "parts"},
		{"too large a part", "PUT", dir + "/big?upload=u", bytes.NewReader(make([]byte, 16<<20+1)), []string{"Content-Range", big}, 413, "parts"},
		{"a part of no upload", "PUT", dir + "/big", text("x"), []string{"Content-Range", "bytes 0-0/1"}, 400, "upload"},
		{"an upload that is a path", "PUT", dir + "/big?upload=../x", text("x"), []string{"Content-Range", "bytes 0-0/1"}, 400, "upload"},
		{"a part that is nonsense", "PUT", dir + "/big?upload=u", text("x"), []string{"Content-Range", "bytes 5-3/1"}, 400, "ends before"},
		{"a part of other length", "PUT", dir + "/big?upload=u", text("xyz"), []string{"Content-Range", "bytes 0-1/2"}, 400, "Content-Length"},
		{"a part of other length, unannounced", "PUT", dir + "/big?upload=u", unsized{text("xyz")}, []string{"Content-Range", "bytes 0-1/2"}, 400, "more bytes"},
		{"a short part, unannounced", "PUT", dir + "/big?upload=u", unsized{text("x")}, []string{"Content-Range", "bytes 0-1/2"}, 400, "fewer bytes"},
		{"a mode that is none", "PUT", dir + "/x?mode=rw", text("x"), nil, 400, "octal"},
		{"a set-id mode", "PUT", dir + "/x?mode=4755", text("x"), nil, 400, "octal"},
		{"a parameter without effect", "GET", dir + "/below/file?recursive=true", nil, nil, 400, "no effect"},
		{"a limit beyond all", "GET", dir + "/below?limit=99999999999", nil, []string{"Accept", "application/json"}, 400, "limit"},
		{"a cursor of our own making", "GET", dir + "/below?continue=%25", nil, []string{"Accept", "application/json"}, 400, "continue"},
		{"a directory that is not empty", "DELETE", dir + "/below", nil, nil, 409, "not empty"},
		{"a dry run", "PUT", dir + "/x?dryRun=All", text("x"), nil, 400, "dryRun"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var status metav1.Status
			r := f.want(tc.code, tc.method, tc.path, tc.body, tc.header...)
			if err := json.Unmarshal(r.body, &status); err != nil || status.Kind != "Status" || !strings.Contains(status.Message, tc.says) {
				t.Errorf("%s does not say %q (%v)", r.body, tc.says, err)
			}
			if strings.Contains(string(r.body), "canary") {
				t.Error("it is told what nobody may know")
			}
		})
	}
	f.want(404, "GET", "box-2", nil) // not a path of this sandbox: no such sandbox
	seen := map[string]bool{}
	filepath.WalkDir(outside, func(path string, _ fs.DirEntry, _ error) error { seen[path] = true; return nil })
	if len(seen) != 2 {
		t.Errorf("outside there is now %v", seen)
	}
	for _, gone := range []string{"/escaped", "/big", "/x"} {
		if _, err := os.Lstat(dir + gone); err == nil {
			t.Errorf("%s is there", gone)
		}
	}
}
