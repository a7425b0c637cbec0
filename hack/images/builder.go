// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// builder makes images of runtimes, and keeps the newest of each: what is made
// of the same packages by the same program is not made again.
type builder struct {
	cache string
	apt   apt
}

func (b builder) build(ctx context.Context, r recipe, name, out string) error {
	if err := os.MkdirAll(b.cache, 0o755); err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(b.cache, "lock"))
	if err != nil {
		return err
	}
	defer unlock()

	r = r.merged()
	if err := b.apt.prepare(ctx); err != nil {
		return err
	}
	debs, err := b.apt.resolve(ctx, r.packages, r.leftOut)
	if err != nil {
		return err
	}
	key, err := keyOf(r, name, debs)
	if err != nil {
		return err
	}
	kept := filepath.Join(b.cache, r.language+"-"+key+".tar")
	if _, err := os.Stat(kept); err == nil {
		return copyFile(kept, out)
	}
	if err := b.apt.fetch(ctx, r.packages); err != nil {
		return err
	}
	start := time.Now()
	if err := b.make(ctx, r, name, debs, kept); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "images: made %s of %d packages in %s\n", name, len(debs), time.Since(start).Round(time.Second))
	older, err := filepath.Glob(filepath.Join(b.cache, r.language+"-*.tar"))
	if err != nil {
		return err
	}
	for _, file := range older {
		if file != kept {
			if err := os.Remove(file); err != nil {
				return err
			}
		}
	}
	return copyFile(kept, out)
}

// make makes the image from packages that are here.
func (b builder) make(ctx context.Context, r recipe, name string, debs []deb, out string) (err error) {
	dir, err := os.MkdirTemp(b.cache, "root-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()

	u := unpacker{root: root, dropped: r.dropped}
	for _, folder := range mergedFolders {
		if err := errors.Join(u.folder("usr/"+folder), root.Symlink("usr/"+folder, folder)); err != nil {
			return err
		}
	}
	var installed bytes.Buffer
	for _, d := range debs {
		file := filepath.Join(b.apt.path("archives"), d.file)
		if err := u.unpack(ctx, file, d.sum); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
		if err := control(ctx, file, &installed); err != nil {
			return err
		}
	}
	if err := u.complete(r, installed.Bytes()); err != nil {
		return err
	}
	for _, command := range r.prepare {
		if err := runIn(ctx, dir, 0, u.newest, command); err != nil {
			return err
		}
	}
	if err := checkLibraries(root); err != nil {
		return err
	}
	entries, err := entriesOf(dir)
	if err != nil {
		return err
	}
	version, labels := labelsOf(r, debs)
	if version == "" {
		return fmt.Errorf("package %s is not among those of %s", r.version, r.language)
	}
	made := filepath.Join(b.cache, "made.tar")
	err = writeImage(made, entries, image{
		name: name, created: u.newest, labels: labels,
		config: map[string]any{
			"Cmd":        []string{"bash"},
			"Env":        []string{"PATH=" + searchPath, "LANG=C.UTF-8", "HOME=/workspace"},
			"User":       fmt.Sprintf("%[1]d:%[1]d", sandboxUser),
			"WorkingDir": "/workspace",
		},
	})
	if err != nil {
		return err
	}
	// Behind the writing, since checks may leave something; before the image
	// is anybody's, since they may fail.
	for _, command := range r.checks {
		if err := runIn(ctx, dir, sandboxUser, u.newest, command); err != nil {
			return errors.Join(err, os.Remove(made))
		}
	}
	return os.Rename(made, out)
}

// labelsOf says what is in an image.
func labelsOf(r recipe, debs []deb) (version string, labels map[string]string) {
	var packages []string
	for _, d := range debs {
		packages = append(packages, d.name+"="+d.version)
		if d.name == r.version {
			version, _, _ = strings.Cut(d.version, "-")
			version, _, _ = strings.Cut(version, "+")
		}
	}
	return version, map[string]string{
		"org.opencontainers.image.title":   "Safebeam runtime: " + r.language,
		"org.opencontainers.image.version": version,
		"dev.safebeam.runtime.language":    r.language,
		"dev.safebeam.runtime.packages":    strings.Join(packages, " "),
	}
}

// keyOf names all that the bytes of an image hang on.
func keyOf(r recipe, name string, debs []deb) (string, error) {
	hash := sha256.New()
	program, err := os.Executable()
	if err != nil {
		return "", err
	}
	file, err := os.Open(program)
	if err != nil {
		return "", err
	}
	defer file.Close()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	fmt.Fprintln(hash, r.language, name)
	for _, d := range debs {
		fmt.Fprintln(hash, d.file, d.sum)
	}
	return hex.EncodeToString(hash.Sum(nil)[:8]), nil
}

// lock waits until no other process builds into the same cache.
func lock(name string) (unlock func(), err error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("locking %s: %w", name, err)
	}
	return func() { _ = file.Close() }, nil
}

// copyFile makes a file that is one of its own only where it must be.
func copyFile(from, to string) error {
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Link(from, to); err == nil {
		return nil
	}
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}
