// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// pack writes a file, or a folder with all that is in it, as an archive in which
// it has another name. Sockets and devices are left out.
func pack(out io.Writer, from, name string, note func(format string, args ...any)) error {
	archive := tar.NewWriter(out)
	err := filepath.WalkDir(from, func(file string, found fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(from, file)
		if err != nil {
			return err
		}
		return packOne(archive, file, path.Join(name, filepath.ToSlash(below)), found, note)
	})
	return errors.Join(err, archive.Close())
}

func packOne(archive *tar.Writer, file, name string, found fs.DirEntry, note func(format string, args ...any)) error {
	info, err := found.Info()
	if err != nil {
		return err
	}
	target := ""
	switch {
	case info.Mode().IsRegular(), info.IsDir():
	case info.Mode()&fs.ModeSymlink != 0:
		if target, err = os.Readlink(file); err != nil {
			return err
		}
	default:
		note("%s is left out: it is a %s", file, info.Mode().Type())
		return nil
	}
	header, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	// Whose it is here means nothing there.
	header.Name, header.Uid, header.Gid, header.Uname, header.Gname = name, 0, 0, "", ""
	if info.IsDir() {
		header.Name += "/"
	}
	if !info.Mode().IsRegular() {
		return archive.WriteHeader(header)
	}
	content, err := os.Open(file)
	if err != nil {
		return err
	}
	defer content.Close()
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	if n, err := io.CopyN(archive, content, header.Size); errors.Is(err, io.EOF) {
		return fmt.Errorf("%s became shorter while it was read: %d bytes of %d", file, n, header.Size)
	} else if err != nil {
		return err
	}
	return nil
}
