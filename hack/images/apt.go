// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// debian is where packages come from.
type debian struct{ suite, mirror, keyring string }

// apt asks the machine's apt, with lists, packages and a state of its own: it
// installs nothing, needs no privileges, and what the machine itself has
// installed, pinned or added as a source has no influence. Proxies are the
// machine's.
type apt struct {
	source debian
	dir    string
	maxAge time.Duration
}

// deb is a package at a version.
type deb struct {
	name, version string
	// file is its name as apt keeps it, sum its SHA-256 by the signed lists.
	file, sum string
}

func (a apt) path(name string) string { return filepath.Join(a.dir, name) }

// prepare makes the directories, and asks for the lists if those there are old.
func (a apt) prepare(ctx context.Context) error {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return errors.New("runtime images are made from Debian packages and need apt, which is not here; make images RUNTIMES= leaves them out")
	}
	if _, err := os.Stat(a.source.keyring); err != nil {
		return fmt.Errorf("the keys of Debian's archive are needed (package debian-archive-keyring): %w", err)
	}
	for _, dir := range []string{"lists/partial", "archives/partial", "empty/partial"} {
		if err := os.MkdirAll(a.path(dir), 0o755); err != nil {
			return err
		}
	}
	var sources strings.Builder
	for _, s := range []string{"/debian " + a.source.suite, "/debian " + a.source.suite + "-updates", "/debian-security " + a.source.suite + "-security"} {
		fmt.Fprintf(&sources, "deb [signed-by=%s arch=%s] %s%s main\n", a.source.keyring, architecture, a.source.mirror, s)
	}
	if err := os.WriteFile(a.path("sources.list"), []byte(sources.String()), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(a.path("status"), nil, 0o644); err != nil {
		return err
	}
	updated, err := os.Stat(a.path("updated"))
	known := err == nil
	if known && time.Since(updated.ModTime()) < a.maxAge {
		return nil
	}
	fmt.Fprintln(os.Stderr, "images: asking", a.source.mirror, "what", a.source.suite, "has")
	if _, err := a.get(ctx, "update", "--error-on=any"); err != nil {
		if !known || ctx.Err() != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "images: going on with the package lists of %s: %v\n", updated.ModTime().Format(time.DateTime), err)
		return nil
	}
	return os.WriteFile(a.path("updated"), nil, 0o644)
}

// resolve is what has to be installed for packages, in apt's order.
func (a apt) resolve(ctx context.Context, packages, leftOut []string) ([]deb, error) {
	// apt takes what is left out for installed.
	var status strings.Builder
	for _, name := range leftOut {
		fmt.Fprintf(&status, "Package: %s\nStatus: install ok installed\nVersion: 999:1\nArchitecture: all\nMulti-Arch: foreign\nMaintainer: none\nDescription: left out\n\n", name)
	}
	if err := os.WriteFile(a.path("status"), []byte(status.String()), 0o644); err != nil {
		return nil, err
	}
	// apt does not name what it has downloaded: it shall not see it.
	out, err := a.get(ctx, append([]string{"install", "-qq", "--print-uris", "-o", "Dir::Cache::archives=" + a.path("empty")}, packages...)...)
	if err != nil {
		return nil, err
	}
	var debs []deb
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "'") {
			continue
		}
		// 'URI' FILE SIZE SHA256:SUM
		fields := strings.Fields(line)
		if len(fields) != 4 || !strings.HasPrefix(fields[3], "SHA256:") {
			return nil, fmt.Errorf("apt-get says %q of a package", line)
		}
		parts := strings.Split(strings.TrimSuffix(fields[1], ".deb"), "_")
		if len(parts) != 3 {
			return nil, fmt.Errorf("apt-get says %q of a package", line)
		}
		version, err := url.PathUnescape(parts[1]) // the colon of an epoch is escaped
		if err != nil {
			return nil, err
		}
		debs = append(debs, deb{name: parts[0], version: version, file: fields[1], sum: strings.TrimPrefix(fields[3], "SHA256:")})
	}
	if len(debs) == 0 {
		return nil, fmt.Errorf("apt-get names no package for %v", packages)
	}
	return debs, nil
}

// fetch downloads what was resolved last, as far as it is not here.
func (a apt) fetch(ctx context.Context, packages []string) error {
	if _, err := a.get(ctx, append([]string{"install", "-qq", "--download-only"}, packages...)...); err != nil {
		return err
	}
	// What no list names any more is never asked for again.
	_, err := a.get(ctx, "autoclean", "-qq")
	return err
}

func (a apt) get(ctx context.Context, args ...string) ([]byte, error) {
	options := []string{"--yes", "--no-install-recommends"}
	for _, option := range []string{
		"Dir::State=" + a.path("."),
		"Dir::State::lists=" + a.path("lists"),
		"Dir::State::status=" + a.path("status"),
		"Dir::State::extended_states=" + a.path("extended_states"),
		"Dir::Cache=" + a.path("."),
		"Dir::Cache::archives=" + a.path("archives"),
		"Dir::Etc::sourcelist=" + a.path("sources.list"),
		"Dir::Etc::sourceparts=" + a.path("empty"),
		"Dir::Etc::preferences=/dev/null",
		"Dir::Etc::preferencesparts=" + a.path("empty"),
		"Dir::Log=" + a.path("."),
		"APT::Architecture=" + architecture,
		"APT::Architectures=" + architecture,
		"APT::Sandbox::User=root", // the directories are ours, whoever we are
		"APT::Get::AllowUnauthenticated=false",
		"Acquire::ForceHash=SHA256",
		"Acquire::Languages=none",
		"Acquire::Retries=3",
		"Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
	} {
		options = append(options, "-o", option)
	}
	command := exec.CommandContext(ctx, "apt-get", append(options, args...)...)
	command.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive")
	var said bytes.Buffer
	command.Stderr = &said
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("apt-get %s: %w\n%s", args[0], err, bytes.TrimSpace(said.Bytes()))
	}
	return out, nil
}
