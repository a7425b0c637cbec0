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
	"strings"
)

// unpacker writes an archive that nobody trusts. All it names is below base;
// it is written below name, in a root that nothing leads out of.
//
// A link is made if it stays in the tree whatever else is there: its target is
// relative, climbs no higher than the tree's top, and climbs only at its
// beginning, since what is behind a name may be a link itself. For the same
// reason nothing is written through a link.
type unpacker struct {
	root       *os.Root
	base, name string
	note       func(format string, args ...any)
	// written counts files, folders and links.
	written int
}

func (u *unpacker) unpack(in io.Reader) error {
	archive := tar.NewReader(in)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			_, err := io.Copy(io.Discard, in) // the padding at the end
			return err
		}
		if err != nil {
			return fmt.Errorf("the sandbox sent what is no archive: %w", err)
		}
		if err := u.entry(header, archive); err != nil {
			return err
		}
	}
}

func (u *unpacker) entry(header *tar.Header, content io.Reader) error {
	below, ok := u.below(header.Name)
	if !ok {
		return fmt.Errorf("the sandbox sent %q, which was not asked for", header.Name)
	}
	name := path.Join(u.name, below)
	if err := u.folders(name); err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeDir:
		if err := u.folder(name); err != nil {
			return err
		}
	case tar.TypeReg:
		if err := u.file(name, header, content); err != nil {
			return err
		}
	case tar.TypeSymlink:
		if !staysBelow(below, header.Linkname) {
			u.note("%q is left out: it links to %q", header.Name, header.Linkname)
			return nil
		}
		if err := u.replace(name, func() error { return u.root.Symlink(header.Linkname, name) }); err != nil {
			return err
		}
	case tar.TypeLink:
		to, ok := u.below(header.Linkname)
		if !ok {
			u.note("%q is left out: it links to %q", header.Name, header.Linkname)
			return nil
		}
		old := path.Join(u.name, to)
		if err := u.folders(old); err != nil {
			return err
		}
		if info, err := u.root.Lstat(old); err != nil || !info.Mode().IsRegular() {
			return fmt.Errorf("the sandbox sent %q as a link to %q, which is no file", header.Name, header.Linkname)
		}
		if err := u.replace(name, func() error { return u.root.Link(old, name) }); err != nil {
			return err
		}
	default:
		u.note("%q is left out: it is neither file, folder nor link", header.Name)
		return nil
	}
	u.written++
	return nil
}

// below is where a name of the archive is, seen from base.
func (u *unpacker) below(name string) (string, bool) {
	if path.IsAbs(name) || strings.ContainsRune(name, 0) {
		return "", false
	}
	name = path.Clean(name)
	if name == u.base {
		return ".", true
	}
	return strings.CutPrefix(name, u.base+"/")
}

// staysBelow says whether a link at below, seen from the tree's top, leads to
// something in the tree.
func staysBelow(below, target string) bool {
	if target == "" || path.IsAbs(target) || below == "." || strings.ContainsRune(target, 0) {
		return false
	}
	depth, descended := strings.Count(below, "/"), false
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			if depth--; depth < 0 || descended {
				return false
			}
		default:
			descended = true
		}
	}
	return true
}

// folders makes the folders above a name, and refuses links among them.
func (u *unpacker) folders(name string) error {
	for i, c := range name {
		if c == '/' {
			if err := u.folder(name[:i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (u *unpacker) folder(name string) error {
	info, err := u.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return u.root.Mkdir(name, 0o755)
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%s is a link here, and nothing is written through links", name)
	case !info.IsDir():
		return fmt.Errorf("%s is no folder here", name)
	}
	return nil
}

// file writes a file. Bits that change the user are never set.
func (u *unpacker) file(name string, header *tar.Header, content io.Reader) error {
	for key := range header.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			// Some bytes there would be any number of them here.
			return fmt.Errorf("the sandbox sent %q as a sparse file", header.Name)
		}
	}
	return u.replace(name, func() error {
		file, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(file, content)
		err = errors.Join(err, file.Chmod(fs.FileMode(header.Mode&0o777)), file.Close())
		if err == nil {
			err = u.root.Chtimes(name, header.ModTime, header.ModTime)
		}
		return err
	})
}

// replace puts something in the place of a file or link.
func (u *unpacker) replace(name string, put func() error) error {
	if info, err := u.root.Lstat(name); err == nil {
		if info.IsDir() {
			return fmt.Errorf("%s is a folder here", name)
		}
		if err := u.root.Remove(name); err != nil {
			return err
		}
	}
	return put()
}
