// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bubblewrap

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// firstInherited is the descriptor that the first of exec.Cmd's ExtraFiles has there.
const firstInherited = 3

// descriptors are files for bwrap; the first error counts.
type descriptors struct {
	inherited []*os.File // in the order of their numbers
	open      []*os.File // to be closed here
	err       error
}

// pass has a file inherited and says as what.
func (d *descriptors) pass(f *os.File) int {
	d.inherited = append(d.inherited, f)
	return firstInherited + len(d.inherited) - 1
}

func (d *descriptors) pipe() (out, in *os.File) {
	out, in, err := os.Pipe()
	if err != nil {
		d.err = errors.Join(d.err, err)
		return nil, nil
	}
	d.open = append(d.open, out, in)
	return out, in
}

// data passes a pipe that has content in it. It has to fit a pipe.
func (d *descriptors) data(content string) int {
	out, in := d.pipe()
	if d.err != nil {
		return -1
	}
	if len(content) > 60<<10 {
		d.err = errors.New("more content than a pipe holds")
		return -1
	}
	if _, err := io.WriteString(in, content); err != nil {
		d.err = err
	}
	in.Close()
	return d.pass(out)
}

// copied passes the file at a path of the host, to be copied from. It does so for a
// small one that everybody may read: this process may read more than the sandbox.
func (d *descriptors) copied(path string, info fs.FileInfo) (fd int, ok bool) {
	if !info.Mode().IsRegular() || info.Size() > smallFile || info.Mode().Perm()&0o004 == 0 {
		return -1, false
	}
	f, err := os.Open(path)
	if err != nil {
		return -1, false
	}
	d.open = append(d.open, f)
	return d.pass(f), true
}

func (d *descriptors) close() {
	for _, f := range d.open {
		f.Close()
	}
}
