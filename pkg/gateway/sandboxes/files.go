// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxes

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// MaxPart bounds one part of an upload.
const MaxPart = 16 << 20

// writePiece is how much of a file goes into a message: what fits gRPC's buffers of
// 32 KiB, the next size being 1 MiB.
const writePiece = 32<<10 - 128

// FileInfo tells about a file. Name and LinkTarget are bytes that the guest chose,
// and need not be UTF-8.
type FileInfo struct {
	Name string
	// Mode has the type and the permission bits.
	Mode       fs.FileMode
	Size       int64
	ModTime    time.Time
	LinkTarget string
}

func fileInfo(m *sandboxpb.FileInfo) FileInfo {
	mode := fs.FileMode(m.GetMode() & 0o777)
	switch m.GetType() {
	case sandboxpb.FileInfo_FILE:
	case sandboxpb.FileInfo_DIRECTORY:
		mode |= fs.ModeDir
	case sandboxpb.FileInfo_SYMLINK:
		mode |= fs.ModeSymlink
	default:
		mode |= fs.ModeIrregular
	}
	return FileInfo{
		Name: string(m.GetName()), Mode: mode, Size: int64(min(m.GetSize(), 1<<62)),
		ModTime: time.Unix(0, m.GetModifiedUnixNanos()), LinkTarget: string(m.GetLinkTarget()),
	}
}

// plain reports whether a name that sandboxd gave is one name and no path.
func plain(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00") && len(name) <= 255
}

// Stat tells about a file; of a symbolic link, not of what it points to.
func (sb *Sandbox) Stat(ctx context.Context, path string) (FileInfo, error) {
	return sb.unaryFile(ctx, func(ctx context.Context, l *link) (*sandboxpb.FileInfo, error) {
		return l.files.Stat(ctx, &sandboxpb.StatRequest{Path: []byte(path)})
	})
}

// MakeDir makes a directory; with parents also those above, and it may be there.
func (sb *Sandbox) MakeDir(ctx context.Context, path string, mode fs.FileMode, parents bool) (FileInfo, error) {
	return sb.unaryFile(ctx, func(ctx context.Context, l *link) (*sandboxpb.FileInfo, error) {
		return l.files.MakeDir(ctx, &sandboxpb.MakeDirRequest{Path: []byte(path), Mode: uint32(mode.Perm()), Parents: parents})
	})
}

func (sb *Sandbox) unaryFile(ctx context.Context, call func(context.Context, *link) (*sandboxpb.FileInfo, error)) (FileInfo, error) {
	p, l, leave, err := sb.call(ctx)
	if err != nil {
		return FileInfo{}, err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, unaryTimeout)
	defer cancel()
	m, err := call(ctx, l)
	if err != nil {
		return FileInfo{}, err
	}
	if !plain(string(m.Name)) {
		return FileInfo{}, p.misbehaved(l, "a file of the name %q", bounded(string(m.Name)))
	}
	return fileInfo(m), nil
}

// Delete deletes a file, a link, an empty directory or, recursively, any.
func (sb *Sandbox) Delete(ctx context.Context, path string, recursive bool) error {
	_, l, leave, err := sb.call(ctx)
	if err != nil {
		return err
	}
	defer leave()
	_, err = l.files.Delete(ctx, &sandboxpb.DeleteRequest{Path: []byte(path), Recursive: recursive})
	return err
}

// List returns up to limit entries after a name, sorted, and whether there are
// more. A limit of zero is the most there is, 10000.
func (sb *Sandbox) List(ctx context.Context, path, after string, limit uint32) (entries []FileInfo, more bool, err error) {
	const most = 10000
	if limit == 0 || limit > most {
		limit = most
	}
	p, l, leave, err := sb.call(ctx)
	if err != nil {
		return nil, false, err
	}
	defer leave()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := l.files.List(ctx, &sandboxpb.ListRequest{Path: []byte(path), After: []byte(after), Limit: limit})
	if err != nil {
		return nil, false, err
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return entries, more, nil
		}
		if err != nil {
			return nil, false, err
		}
		for _, e := range m.Entries {
			name := string(e.Name)
			if !plain(name) || name <= after || len(entries) == int(limit) {
				return nil, false, p.misbehaved(l, "a listing that was not asked for, at %q", bounded(name))
			}
			after = name
			entries = append(entries, fileInfo(e))
		}
		more = m.More
	}
}

// Read opens a range of a regular file; a length of zero is to its end. The reader
// must be closed.
func (sb *Sandbox) Read(ctx context.Context, path string, offset, length uint64) (FileInfo, io.ReadCloser, error) {
	p, l, leave, err := sb.call(ctx)
	if err != nil {
		return FileInfo{}, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	stream, err := l.files.Read(ctx, &sandboxpb.ReadRequest{Path: []byte(path), Offset: offset, Length: length})
	r := &reader{leave: func() { cancel(); leave() }, next: func() ([]byte, error) {
		m, err := stream.Recv()
		return m.GetData(), err
	}}
	if err == nil {
		var first *sandboxpb.ReadResponse
		if first, err = stream.Recv(); err == nil {
			info := fileInfo(first.Info)
			if !plain(info.Name) || uint64(info.Size) < offset {
				r.Close()
				return FileInfo{}, nil, p.misbehaved(l, "a file %q that was not asked for", bounded(info.Name))
			}
			left := uint64(info.Size) - offset
			if length != 0 {
				left = min(left, length)
			}
			r.rest = first.Data
			r.limit = &left
			r.excess = func() error { return p.misbehaved(l, "more of a file than was asked for") }
			return info, r, nil
		}
	}
	r.Close()
	return FileInfo{}, nil, err
}

// ReadTar opens a directory or file as a tar archive. The reader must be closed.
// The archive is sandboxd's: whoever unpacks it outside trusts no name in it.
func (sb *Sandbox) ReadTar(ctx context.Context, path string) (io.ReadCloser, error) {
	_, l, leave, err := sb.call(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	stream, err := l.files.ReadTar(ctx, &sandboxpb.ReadTarRequest{Path: []byte(path)})
	r := &reader{leave: func() { cancel(); leave() }, next: func() ([]byte, error) {
		m, err := stream.Recv()
		return m.GetData(), err
	}}
	if err == nil {
		// The first piece tells whether the path is good at all.
		r.rest, err = r.next()
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// reader is a stream of data as a reader.
type reader struct {
	next   func() ([]byte, error)
	leave  func()
	left   bool
	rest   []byte
	limit  *uint64
	excess func() error
	err    error
}

func (r *reader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		if r.rest, r.err = r.next(); r.err == io.EOF && r.limit != nil && *r.limit > 0 {
			r.err = io.ErrUnexpectedEOF
		}
	}
	if r.limit != nil {
		if uint64(len(r.rest)) > *r.limit {
			r.rest, r.err = nil, r.excess()
			return 0, r.err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	if r.limit != nil {
		*r.limit -= uint64(n)
	}
	return n, nil
}

func (r *reader) Close() error {
	if !r.left {
		r.left = true
		r.leave()
	}
	return nil
}

// A Part is one part of an upload.
type Part struct {
	Path string
	// Upload names the upload over its parts.
	Upload string
	Offset uint64
	Mode   fs.FileMode
	// Commit, with the last part, puts the file of Total bytes in its place.
	Commit bool
	Total  uint64
}

// WritePart sends one part, of at most MaxPart bytes, and returns how much of the
// file has arrived. With Commit the file is there when it returns.
func (sb *Sandbox) WritePart(ctx context.Context, part Part, content io.Reader) (received uint64, info FileInfo, err error) {
	p, l, leave, err := sb.call(ctx)
	if err != nil {
		return 0, FileInfo{}, err
	}
	defer leave()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := l.files.Write(ctx)
	if err != nil {
		return 0, FileInfo{}, err
	}
	err = stream.Send(&sandboxpb.WriteRequest{Request: &sandboxpb.WriteRequest_Header{Header: &sandboxpb.WriteHeader{
		Path: []byte(part.Path), UploadId: part.Upload, Offset: part.Offset, Mode: uint32(part.Mode.Perm()), Commit: part.Commit, Total: part.Total,
	}}})
	sent, err := sendPieces(err, content, MaxPart, func(data []byte) error {
		return stream.Send(&sandboxpb.WriteRequest{Request: &sandboxpb.WriteRequest_Data{Data: data}})
	})
	if err != nil {
		return 0, FileInfo{}, err
	}
	m, err := stream.CloseAndRecv()
	if err != nil {
		return 0, FileInfo{}, err
	}
	if m.Received < part.Offset+sent || part.Commit && !plain(string(m.Info.GetName())) {
		return 0, FileInfo{}, p.misbehaved(l, "a part that arrived and did not")
	}
	return m.Received, fileInfo(m.Info), nil
}

// AbortUpload gives an upload up.
func (sb *Sandbox) AbortUpload(ctx context.Context, path, upload string) error {
	_, l, leave, err := sb.call(ctx)
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, unaryTimeout)
	defer cancel()
	stream, err := l.files.Write(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&sandboxpb.WriteRequest{Request: &sandboxpb.WriteRequest_Header{Header: &sandboxpb.WriteHeader{
		Path: []byte(path), UploadId: upload, Abort: true}}}); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	_, err = stream.CloseAndRecv()
	return err
}

// WriteTar unpacks a tar archive into a directory, which is made if need be.
func (sb *Sandbox) WriteTar(ctx context.Context, path string, archive io.Reader) (entries uint32, bytes uint64, err error) {
	_, l, leave, err := sb.call(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer leave()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := l.files.WriteTar(ctx)
	if err != nil {
		return 0, 0, err
	}
	err = stream.Send(&sandboxpb.WriteTarRequest{Request: &sandboxpb.WriteTarRequest_Header{Header: &sandboxpb.WriteTarHeader{Path: []byte(path)}}})
	if _, err := sendPieces(err, archive, 1<<63, func(data []byte) error {
		return stream.Send(&sandboxpb.WriteTarRequest{Request: &sandboxpb.WriteTarRequest_Data{Data: data}})
	}); err != nil {
		return 0, 0, err
	}
	m, err := stream.CloseAndRecv()
	return m.GetEntries(), m.GetBytes(), err
}

// errEnded says that the other side has ended the call; its answer says why.
var errEnded = errors.New("the call was ended")

// sendPieces sends content in pieces until its end, or until the other side has
// ended the call.
func sendPieces(err error, content io.Reader, most uint64, send func([]byte) error) (sent uint64, _ error) {
	if errors.Is(err, io.EOF) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	out := &pieces{send: send, most: most}
	_, err = io.CopyBuffer(out, struct{ io.Reader }{content}, make([]byte, writePiece))
	if errors.Is(err, errEnded) {
		err = nil
	}
	return out.sent, err
}

type pieces struct {
	send       func([]byte) error
	sent, most uint64
}

func (p *pieces) Write(data []byte) (int, error) {
	if p.sent += uint64(len(data)); p.sent > p.most {
		return 0, status.Errorf(codes.InvalidArgument, "a part has at most %d bytes", p.most)
	}
	err := p.send(data)
	if errors.Is(err, io.EOF) {
		err = errEnded
	}
	if err != nil {
		return 0, err
	}
	return len(data), nil
}
