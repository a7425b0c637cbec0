// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// checkLibraries looks for every library that a program or library of a root
// names. What was left out of an image must not be missed by what is in it.
func checkLibraries(root *os.Root) error {
	var missing []error
	err := fs.WalkDir(root.FS(), "usr", func(name string, found fs.DirEntry, err error) error {
		if err != nil || !found.Type().IsRegular() {
			return err
		}
		file, err := root.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		if !isELF(file) {
			return nil
		}
		parsed, err := elf.NewFile(file)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		wanted, err := parsed.ImportedLibraries()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		where := []string{strings.TrimSuffix(libraries, "/"), "usr/lib", "usr/lib64"}
		for _, tag := range []elf.DynTag{elf.DT_RUNPATH, elf.DT_RPATH} {
			paths, err := parsed.DynString(tag)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			for _, p := range strings.Split(strings.Join(paths, ":"), ":") {
				if p != "" {
					p = strings.NewReplacer("$ORIGIN", "/"+path.Dir(name), "${ORIGIN}", "/"+path.Dir(name)).Replace(p)
					where = append(where, strings.TrimPrefix(path.Clean(p), "/"))
				}
			}
		}
		for _, library := range wanted {
			if !exists(root, where, library) {
				missing = append(missing, fmt.Errorf("%s needs %s, which the image does not have", name, library))
			}
		}
		return nil
	})
	return errors.Join(append(missing, err)...)
}

func exists(root *os.Root, folders []string, name string) bool {
	for _, folder := range folders {
		if _, err := root.Stat(path.Join(folder, name)); err == nil {
			return true
		}
	}
	return false
}

// isELF says whether a file begins as programs and libraries do.
func isELF(file io.Reader) bool {
	var magic [4]byte
	_, err := io.ReadFull(file, magic[:])
	return err == nil && string(magic[:]) == "\x7fELF"
}
