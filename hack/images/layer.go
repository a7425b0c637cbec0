// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// entry is a file, folder or symbolic link of an image.
type entry struct {
	// name is the path without a leading slash; a folder's ends in one.
	name string
	mode int64
	// owner is the user's and the group's id.
	owner int
	// target of a symbolic link.
	target string
	// The content of a file: data, or that of the file named from.
	data []byte
	from string
}

func (e entry) folder() bool { return e.name[len(e.name)-1] == '/' }

// layer is a packed layer in a file.
type layer struct {
	descriptor
	file string
	// diffID is the digest of the layer before it was packed.
	diffID string
}

// writeLayer packs entries, in the order of their names, into a file.
func writeLayer(name string, entries []entry, modified time.Time) (l layer, err error) {
	file, err := os.Create(name)
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()

	packed, plain := sha256.New(), sha256.New()
	// The fastest level: most images are loaded, not sent.
	packer, err := gzip.NewWriterLevel(io.MultiWriter(file, packed), gzip.BestSpeed)
	if err != nil {
		return l, err
	}
	archive := tar.NewWriter(io.MultiWriter(packer, plain))
	entries = slices.Clone(entries)
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	for _, e := range entries {
		if err := e.write(archive, modified); err != nil {
			return l, fmt.Errorf("%s: %w", e.name, err)
		}
	}
	if err := errors.Join(archive.Close(), packer.Close()); err != nil {
		return l, err
	}
	info, err := file.Stat()
	if err != nil {
		return l, err
	}
	return layer{
		descriptor: descriptor{MediaType: mediaLayer, Digest: digest(packed.Sum(nil)), Size: info.Size()},
		file:       name, diffID: digest(plain.Sum(nil)),
	}, nil
}

func (e entry) write(archive *tar.Writer, modified time.Time) error {
	header := &tar.Header{
		Name: e.name, Mode: e.mode, Uid: e.owner, Gid: e.owner, Size: int64(len(e.data)), ModTime: modified, Typeflag: tar.TypeReg,
	}
	switch {
	case e.folder():
		header.Typeflag = tar.TypeDir
	case e.target != "":
		header.Typeflag, header.Linkname = tar.TypeSymlink, e.target
	case e.from != "":
		file, err := os.Open(e.from)
		if err != nil {
			return err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return err
		}
		header.Size = info.Size()
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		_, err = io.Copy(archive, file)
		return err
	}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err := archive.Write(e.data)
	return err
}
