// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"regexp"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
)

// put answers PUT.
func (t *transfer) put(ctx context.Context) error {
	kind, _, _ := mime.ParseMediaType(t.request.Header.Get("Content-Type"))
	contentRange := t.request.Header.Get("Content-Range")
	directory := t.query.flag("directory")
	switch {
	case directory && contentRange == "":
		return t.makeDirectory(ctx)
	case directory:
		return apierrors.NewBadRequest("Content-Range is for files: leave it out, or directory")
	case kind == typeTar && contentRange == "":
		return t.unpack(ctx)
	case kind == typeTar:
		return apierrors.NewBadRequest("an archive is unpacked as it comes, not in parts: leave out Content-Range, or name another Content-Type to store it")
	case contentRange != "":
		return t.putPart(ctx, contentRange)
	}
	return t.putWhole(ctx)
}

// mode takes the permission bits.
func (t *transfer) mode(otherwise fs.FileMode) fs.FileMode {
	value, given := t.query.take("mode")
	if !given {
		return otherwise
	}
	mode, err := strconv.ParseUint(value, 8, 32)
	if (err != nil || mode > 0o777 || mode == 0) && t.query.err == nil {
		t.query.err = apierrors.NewBadRequest(fmt.Sprintf("mode=%q is no octal number from 0001 to 0777", value))
	}
	return fs.FileMode(mode)
}

// Made is the answer to a PUT.
type Made struct {
	Path string `json:"path"`
	// Entry is what stands there now; nil if more parts are to come.
	Entry *Entry `json:"entry,omitempty"`
	// Received is how many bytes of the upload have arrived.
	Received uint64 `json:"received,omitempty"`
	// Upload is the upload's ID while more parts are to come.
	Upload string `json:"upload,omitempty"`
	// Entries and Bytes are what an archive had.
	Entries uint32 `json:"entries,omitempty"`
	Bytes   uint64 `json:"bytes,omitempty"`
}

func (t *transfer) made(info sandboxes.FileInfo) error {
	entry := newEntry(info)
	return t.answer(http.StatusOK, Made{Path: t.path, Entry: &entry})
}

func (t *transfer) makeDirectory(ctx context.Context) error {
	mode := t.mode(0o755)
	if err := t.query.done(); err != nil {
		return err
	}
	if n, err := t.request.Body.Read(make([]byte, 1)); n > 0 || err != nil && err != io.EOF {
		return apierrors.NewBadRequest("a directory is made without a body")
	}
	info, err := t.in.MakeDir(ctx, t.path, mode, true)
	if err != nil {
		return err
	}
	return t.made(info)
}

func (t *transfer) unpack(ctx context.Context) error {
	if err := t.query.done(); err != nil {
		return err
	}
	entries, bytes, err := t.in.WriteTar(ctx, t.path, t.request.Body)
	if err != nil {
		return err
	}
	return t.answer(http.StatusOK, Made{Path: t.path, Entries: entries, Bytes: bytes})
}

// putWhole stores the body. Where its length is not known beforehand, it is
// committed in a second step.
func (t *transfer) putWhole(ctx context.Context) error {
	mode := t.mode(0o644)
	if err := t.query.done(); err != nil {
		return err
	}
	length := t.request.ContentLength
	if length > sandboxes.MaxPart {
		return tooLarge()
	}
	part := sandboxes.Part{Path: t.path, Upload: "put-" + rand.Text(), Mode: mode, Commit: length >= 0, Total: uint64(max(length, 0))}
	body := &exactly{from: t.request.Body, left: length, most: sandboxes.MaxPart}
	received, info, err := t.in.WritePart(ctx, part, body)
	if err == nil && !part.Commit {
		part.Offset, part.Commit, part.Total = received, true, received
		_, info, err = t.in.WritePart(ctx, part, http.NoBody)
	}
	if err != nil {
		t.abort(ctx, part)
		return body.explain(err)
	}
	return t.made(info)
}

var uploadGrammar = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,64}$`)

// putPart stores one part of an upload; the last one puts the file in place.
func (t *transfer) putPart(ctx context.Context, contentRange string) error {
	id, _ := t.query.take("upload")
	mode := t.mode(0o644)
	if err := t.query.done(); err != nil {
		return err
	}
	if !uploadGrammar.MatchString(id) {
		return apierrors.NewBadRequest("parts belong together by the parameter upload: 1 to 64 letters, digits, '.', '_' and '-', the same for each")
	}
	piece, err := parseContentRange(contentRange)
	if err != nil {
		return err
	}
	if piece.length > sandboxes.MaxPart {
		return tooLarge()
	}
	if given := t.request.ContentLength; given >= 0 && uint64(given) != piece.length {
		return apierrors.NewBadRequest(fmt.Sprintf("Content-Length is %d, while %q has %d bytes", given, contentRange, piece.length))
	}
	body := &exactly{from: t.request.Body, left: int64(piece.length), most: sandboxes.MaxPart}
	received, info, err := t.in.WritePart(ctx, sandboxes.Part{
		Path: t.path, Upload: id, Offset: piece.start, Mode: mode, Commit: piece.last, Total: piece.total,
	}, body)
	if err != nil {
		return body.explain(err) // the upload stays: the part can be sent again
	}
	if piece.last {
		return t.made(info)
	}
	return t.answer(http.StatusAccepted, Made{Path: t.path, Upload: id, Received: received})
}

func (t *transfer) abort(ctx context.Context, part sandboxes.Part) {
	_ = t.in.AbortUpload(context.WithoutCancel(ctx), part.Path, part.Upload) // it expires by itself
}

func tooLarge() error {
	return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("a file is taken whole up to %d bytes: send larger ones in parts of at most that, with Content-Range and the parameter upload", sandboxes.MaxPart))
}

// piece is what a Content-Range says.
type piece struct {
	span
	last  bool
	total uint64
}

var contentRangeGrammar = regexp.MustCompile(`^bytes (?:([0-9]{1,18})-([0-9]{1,18})|\*)/(?:([0-9]{1,18})|\*)$`)

// parseContentRange reads "bytes A-B/TOTAL", "bytes A-B/*" while the total is
// not known, and "bytes */TOTAL" to say it after the last byte.
func parseContentRange(header string) (piece, error) {
	invalid := func(why string) (piece, error) {
		return piece{}, apierrors.NewBadRequest(fmt.Sprintf("Content-Range %q %s", header, why))
	}
	m := contentRangeGrammar.FindStringSubmatch(header)
	if m == nil {
		return invalid(`is none of "bytes A-B/TOTAL", "bytes A-B/*" and "bytes */TOTAL"`)
	}
	number := func(s string) uint64 { n, _ := strconv.ParseUint(s, 10, 64); return n } // the grammar's digits fit
	p := piece{total: number(m[3])}
	if m[1] == "" {
		if m[3] == "" {
			return invalid("says nothing")
		}
		p.start, p.last = p.total, true
		return p, nil
	}
	first, last := number(m[1]), number(m[2])
	if last < first {
		return invalid("ends before it begins")
	}
	p.span = span{first, last - first + 1}
	if m[3] != "" {
		if last >= p.total {
			return invalid("goes beyond its total")
		}
		p.last = last+1 == p.total
	}
	return p, nil
}

var (
	errTooMany = errors.New("more bytes came than were announced")
	errTooFew  = errors.New("fewer bytes came than were announced")
)

// exactly reads as many bytes as were announced, and fails on another number:
// so a body that breaks off commits nothing. Below zero, left is not known and
// most bounds it.
type exactly struct {
	from       io.Reader
	left, most int64
	read       int64
	err        error
}

func (e *exactly) Read(p []byte) (int, error) {
	n, err := e.from.Read(p)
	e.read += int64(n)
	switch {
	case e.left >= 0 && e.read > e.left:
		err = errTooMany
	case e.left < 0 && e.read > e.most:
		err = tooLarge()
	case err == io.EOF && e.read < e.left:
		err = errTooFew
	}
	if err != nil && err != io.EOF {
		e.err = err
		n = 0
	}
	return n, err
}

// explain prefers what was wrong with the body.
func (e *exactly) explain(err error) error {
	var status apierrors.APIStatus
	switch {
	case e.err == nil:
		return err
	case errors.As(e.err, &status):
		return e.err
	}
	return apierrors.NewBadRequest("reading the body: " + e.err.Error())
}

// delete answers DELETE.
func (t *transfer) delete(ctx context.Context) error {
	recursive := t.query.flag("recursive")
	id, isUpload := t.query.take("upload")
	if err := t.query.done(); err != nil {
		return err
	}
	var err error
	switch {
	case isUpload && recursive:
		return apierrors.NewBadRequest("recursive has no effect on an upload: leave it out")
	case isUpload && !uploadGrammar.MatchString(id):
		return apierrors.NewBadRequest("upload is not the ID of an upload")
	case isUpload:
		err = t.in.AbortUpload(ctx, t.path, id)
	default:
		err = t.in.Delete(ctx, t.path, recursive)
	}
	if err != nil {
		return err
	}
	return t.answer(http.StatusOK, metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusSuccess,
	})
}
