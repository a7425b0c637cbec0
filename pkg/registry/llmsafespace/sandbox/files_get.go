// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
)

// get answers GET and HEAD.
func (t *transfer) get(ctx context.Context) error {
	info, err := t.in.Stat(ctx, t.path)
	if err != nil {
		return err
	}
	if info.Mode.IsDir() {
		if wantsJSON(t.request) {
			return t.list(ctx)
		}
		return t.tar(ctx)
	}
	if err := t.query.done(); err != nil {
		return err
	}
	return t.file(ctx, info)
}

// file sends a regular file or a range of it; for anything else the sandbox
// says why not.
func (t *transfer) file(ctx context.Context, info sandboxes.FileInfo) error {
	size := uint64(info.Size)
	wanted := span{length: size}
	ranged := false
	if header := t.request.Header.Get("Range"); header != "" && t.unchanged(info) {
		var ok bool
		if wanted, ranged, ok = parseRange(header, size); !ok {
			t.w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", size))
			return statusError(http.StatusRequestedRangeNotSatisfiable, metav1.StatusReasonInvalid, fmt.Sprintf("%s has %d bytes, none of which is in %q", t.path, size, header))
		}
	}
	if match := t.request.Header.Get("If-Match"); match != "" && match != "*" && match != etag(info) {
		return statusError(http.StatusPreconditionFailed, metav1.StatusReasonConflict, t.path+" has changed")
	}
	var content io.ReadCloser
	if t.request.Method == http.MethodHead && info.Mode.IsRegular() {
		content = http.NoBody
	} else {
		var now sandboxes.FileInfo
		var err error
		if now, content, err = t.in.Read(ctx, t.path, wanted.start, wanted.length); err != nil {
			return err
		}
		defer content.Close()
		if etag(now) != etag(info) {
			return statusError(http.StatusConflict, metav1.StatusReasonConflict, t.path+" was changed while it was being opened: ask again")
		}
	}
	header := t.w.Header()
	header.Set("Content-Type", typeBinary)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Accept-Ranges", "bytes")
	header.Set("ETag", etag(info))
	header.Set("Last-Modified", info.ModTime.UTC().Format(http.TimeFormat))
	header.Set("Content-Length", strconv.FormatUint(wanted.length, 10))
	code := http.StatusOK
	if ranged {
		code = http.StatusPartialContent
		header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", wanted.start, wanted.start+wanted.length-1, size))
	}
	t.w.WriteHeader(code)
	if wanted.length == 0 {
		return nil // a length of zero would be read as all there is
	}
	return t.copy(content)
}

// etag tells two states of a file apart.
func etag(info sandboxes.FileInfo) string {
	return fmt.Sprintf(`"%x-%x"`, info.ModTime.UnixNano(), info.Size)
}

// unchanged reports whether a range may be answered with a part of the file as
// it is now.
func (t *transfer) unchanged(info sandboxes.FileInfo) bool {
	condition := t.request.Header.Get("If-Range")
	return condition == "" || condition == etag(info)
}

// pieceBytes is how much is copied at a time.
const pieceBytes = 64 << 10

func (t *transfer) copy(content io.Reader) error {
	if t.request.Method == http.MethodHead {
		return nil
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{t.w}, struct{ io.Reader }{content}, make([]byte, pieceBytes)); err != nil {
		return fmt.Errorf("%w: %w", errBrokenOff, err)
	}
	return nil
}

// tar sends a directory with all that is in it.
func (t *transfer) tar(ctx context.Context) error {
	if err := t.query.done(); err != nil {
		return err
	}
	if t.request.Header.Get("Range") != "" {
		return statusError(http.StatusRequestedRangeNotSatisfiable, metav1.StatusReasonInvalid, t.path+" is a directory, of which there are no ranges")
	}
	t.w.Header().Set("Content-Type", typeTar)
	if t.request.Method == http.MethodHead {
		return nil
	}
	archive, err := t.in.ReadTar(ctx, t.path)
	if err != nil {
		return err
	}
	defer archive.Close()
	t.w.WriteHeader(http.StatusOK)
	return t.copy(archive)
}

// Listing is a directory as JSON.
type Listing struct {
	Path    string  `json:"path"`
	Entries []Entry `json:"entries"`
	// Continue is given back as the parameter continue for what follows.
	Continue string `json:"continue,omitempty"`
}

// Entry is one file.
type Entry struct {
	Name string `json:"name"`
	// NameBytes is the name where that is no UTF-8, of which Name shows what
	// can be shown.
	NameBytes []byte `json:"nameBytes,omitempty"`
	// Type is File, Directory, Symlink or Other.
	Type string `json:"type"`
	// Mode are the permission bits, in octal.
	Mode       string      `json:"mode"`
	Size       int64       `json:"size"`
	ModTime    metav1.Time `json:"modTime"`
	LinkTarget string      `json:"linkTarget,omitempty"`
}

func newEntry(info sandboxes.FileInfo) Entry {
	entry := Entry{
		Name: info.Name, Type: "Other", Mode: fmt.Sprintf("%04o", info.Mode.Perm()), Size: info.Size,
		ModTime: metav1.NewTime(info.ModTime.Truncate(time.Second)), LinkTarget: strings.ToValidUTF8(info.LinkTarget, "\uFFFD"),
	}
	if !utf8.ValidString(info.Name) {
		entry.Name, entry.NameBytes = strings.ToValidUTF8(info.Name, "\uFFFD"), []byte(info.Name)
	}
	switch info.Mode.Type() {
	case 0:
		entry.Type = "File"
	case fs.ModeDir:
		entry.Type = "Directory"
	case fs.ModeSymlink:
		entry.Type = "Symlink"
	}
	return entry
}

const (
	defaultList = 1000
	maxList     = 10000
)

// list sends a page of a directory.
func (t *transfer) list(ctx context.Context) error {
	limit := uint64(defaultList)
	if value, given := t.query.take("limit"); given {
		var err error
		if limit, err = strconv.ParseUint(value, 10, 32); err != nil || limit == 0 || limit > maxList {
			return apierrors.NewBadRequest(fmt.Sprintf("limit=%q is no number from 1 to %d", value, maxList))
		}
	}
	token, _ := t.query.take("continue")
	after, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return apierrors.NewBadRequest("continue is not what an earlier listing gave")
	}
	if err := t.query.done(); err != nil {
		return err
	}
	infos, more, err := t.in.List(ctx, t.path, string(after), uint32(limit))
	if err != nil {
		return err
	}
	listing := Listing{Path: t.path, Entries: make([]Entry, 0, len(infos))}
	for _, info := range infos {
		listing.Entries = append(listing.Entries, newEntry(info))
	}
	if more && len(infos) > 0 {
		listing.Continue = base64.RawURLEncoding.EncodeToString([]byte(infos[len(infos)-1].Name))
	}
	return t.answer(http.StatusOK, listing)
}

// answer sends JSON.
func (t *transfer) answer(code int, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	header := t.w.Header()
	header.Set("Content-Type", typeJSON)
	header.Set("Content-Length", strconv.Itoa(len(data)+1))
	t.w.WriteHeader(code)
	if t.request.Method != http.MethodHead {
		_, _ = t.w.Write(append(data, '\n')) // a client that is gone needs no answer
	}
	return nil
}

// wantsJSON reports whether the client names JSON before tar.
func wantsJSON(request *http.Request) bool {
	for _, header := range request.Header.Values("Accept") {
		for _, accepted := range strings.Split(header, ",") {
			switch kind, _, _ := mime.ParseMediaType(strings.TrimSpace(accepted)); kind {
			case typeJSON:
				return true
			case typeTar:
				return false
			}
		}
	}
	return false
}

// span is a part of a file.
type span struct{ start, length uint64 }

// parseRange reads a Range header. One that is not understood, or has several
// ranges, is answered with the whole file, as RFC 9110 lets us; ok is false if
// nothing of the file is in it.
func parseRange(header string, size uint64) (_ span, ranged, ok bool) {
	whole := span{length: size}
	first, last, found := strings.Cut(strings.TrimPrefix(header, "bytes="), "-")
	if !strings.HasPrefix(header, "bytes=") || !found || strings.Contains(last, ",") {
		return whole, false, true
	}
	if first == "" { // the last bytes
		count, err := strconv.ParseUint(last, 10, 63)
		if err != nil {
			return whole, false, true
		}
		count = min(count, size)
		return span{size - count, count}, true, count > 0
	}
	start, err := strconv.ParseUint(first, 10, 63)
	if err != nil {
		return whole, false, true
	}
	end := size
	if last != "" {
		if end, err = strconv.ParseUint(last, 10, 63); err != nil || end < start {
			return whole, false, true
		}
		end = min(end+1, size)
	}
	if start >= size {
		return span{}, true, false
	}
	return span{start, end - start}, true, true
}
