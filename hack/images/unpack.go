// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"strings"
	"time"
)

// unpacker puts the files of packages into a root.
type unpacker struct {
	root    *os.Root
	dropped []string
	// newest is the latest time of any file: that of the image.
	newest time.Time
}

// unpack puts in one package; its maintainer scripts do not run.
func (u *unpacker) unpack(ctx context.Context, file, sum string) error {
	if err := verify(file, sum); err != nil {
		return err
	}
	command := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", file)
	var said bytes.Buffer
	command.Stderr = &said
	files, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	failed := u.archive(tar.NewReader(files))
	if failed == nil {
		_, failed = io.Copy(io.Discard, files) // the padding at the end
	} else {
		_ = command.Process.Kill()
	}
	if err := command.Wait(); err != nil && failed == nil {
		failed = fmt.Errorf("dpkg-deb: %w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	return failed
}

func verify(file, sum string) error {
	opened, err := os.Open(file)
	if err != nil {
		return err
	}
	defer opened.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, opened); err != nil {
		return err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != sum {
		return fmt.Errorf("%s has SHA-256 %s, and %s by Debian's lists", file, got, sum)
	}
	return nil
}

func (u *unpacker) archive(archive *tar.Reader) error {
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Clean(strings.TrimPrefix(header.Name, "./"))
		if name == "." || u.drops(merged(name), header.Typeflag == tar.TypeDir) {
			continue
		}
		if err := u.put(name, header, archive); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if header.ModTime.After(u.newest) {
			u.newest = header.ModTime
		}
	}
}

func (u *unpacker) put(name string, header *tar.Header, content io.Reader) error {
	if header.Typeflag == tar.TypeDir {
		return u.folder(name)
	}
	if err := u.folder(path.Dir(name)); err != nil {
		return err
	}
	if err := u.root.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	switch header.Typeflag {
	case tar.TypeReg:
		file, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(file, content)
		// No user but the sandbox's will ever be: no bits that change it.
		return errors.Join(err, file.Chmod(os.FileMode(header.Mode&0o777)), file.Close())
	case tar.TypeSymlink:
		return u.root.Symlink(header.Linkname, name)
	case tar.TypeLink:
		return u.root.Link(path.Clean(header.Linkname), name)
	}
	return fmt.Errorf("an entry of type %q", header.Typeflag)
}

// folder makes a folder that anybody may read, and those above it.
func (u *unpacker) folder(name string) error {
	if info, err := u.root.Stat(name); err == nil && info.IsDir() {
		return nil
	}
	if above := path.Dir(name); above != "." {
		if err := u.folder(above); err != nil {
			return err
		}
	}
	if err := u.root.Mkdir(name, 0o755); err != nil {
		return err
	}
	return u.root.Chmod(name, 0o755)
}

// merged is where a name is that packages give as if /bin and /lib were
// folders of their own.
func merged(name string) string {
	first, _, _ := strings.Cut(name, "/")
	for _, folder := range mergedFolders {
		if first == folder {
			return "usr/" + name
		}
	}
	return name
}

var mergedFolders = []string{"bin", "lib", "lib64", "sbin"}

// drops says whether an entry is left out. Copyright notices never are.
func (u *unpacker) drops(name string, folder bool) bool {
	if path.Base(name) == "copyright" {
		return false
	}
	for _, pattern := range u.dropped {
		below, isFolder := strings.CutSuffix(pattern, "/")
		if !isFolder {
			if ok, _ := path.Match(pattern, name); ok && !folder {
				return true
			}
			continue
		}
		// The name or a folder above it.
		for part := name; part != "."; part = path.Dir(part) {
			if part == name && !folder {
				continue
			}
			if ok, _ := path.Match(below, part); ok {
				return true
			}
		}
	}
	return false
}
