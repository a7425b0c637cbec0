// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Command images writes OCI tarballs without a container engine.
//
//	images program -name localhost/app:dev -o app.tar -modified 1700000000 ./app
//
// makes the image of one static program: the program, the root certificates of
// the Mozilla program, an account and the list of the modules that the program
// was built from. It runs as user 65532.
//
//	images runtime -name localhost/safebeam-runtime-python:3.11 -o python.tar -cache DIR python
//
// makes the image that sandboxes of a language run in, from packages of Debian.
// It runs as user 1000. See runtimes.go for what is in it.
//
// Images have one layer. The same inputs make the same bytes: no time but that
// of the inputs, no name, number or account of this machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "program":
			return runProgram(args[1:])
		case "runtime":
			return runRuntime(ctx, args[1:])
		}
	}
	return errors.New("use: images program|runtime -help")
}

func runProgram(args []string) error {
	fs := flag.NewFlagSet("program", flag.ContinueOnError)
	name := fs.String("name", "", "the image's name with its tag")
	out := fs.String("o", "", "the tarball to write")
	modified := fs.Int64("modified", 0, "the time of everything in the image, in seconds since 1970")
	revision := fs.String("revision", "", "the revision of the source, for the image's labels")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *name == "" || *out == "" || fs.NArg() != 1 {
		return errors.New("use: images program -name NAME:TAG -o FILE [-modified SECONDS] [-revision REVISION] PROGRAM")
	}
	entries, err := rootOf(fs.Arg(0))
	if err != nil {
		return err
	}
	return writeImage(*out, entries, image{
		name: *name, created: time.Unix(*modified, 0).UTC(),
		labels: map[string]string{
			"org.opencontainers.image.licenses": "Apache-2.0",
			"org.opencontainers.image.revision": *revision,
		},
		config: map[string]any{
			"Entrypoint": []string{"/" + filepath.Base(fs.Arg(0))},
			"User":       fmt.Sprintf("%[1]d:%[1]d", userID),
			"WorkingDir": "/",
		},
	})
}

func runRuntime(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("runtime", flag.ContinueOnError)
	name := fs.String("name", "", "the image's name with its tag")
	out := fs.String("o", "", "the tarball to write")
	cache := fs.String("cache", "", "where package lists, packages and finished images are kept from one time to the next")
	var source debian
	fs.StringVar(&source.suite, "suite", "bookworm", "the release of Debian")
	fs.StringVar(&source.mirror, "mirror", "http://deb.debian.org", "where debian and debian-security are below")
	fs.StringVar(&source.keyring, "keyring", "/usr/share/keyrings/debian-archive-keyring.gpg", "the keys that the package lists are signed with")
	maxAge := fs.Duration("max-age", 24*time.Hour, "how old the package lists may be before they are asked for again")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *name == "" || *out == "" || *cache == "" || fs.NArg() != 1 {
		return errors.New("use: images runtime -name NAME:TAG -o FILE -cache DIR LANGUAGE")
	}
	recipe, ok := recipes[fs.Arg(0)]
	if !ok {
		return fmt.Errorf("there is no runtime %q", fs.Arg(0))
	}
	dir, err := filepath.Abs(*cache) // apt takes others for its own
	if err != nil {
		return err
	}
	b := builder{cache: dir, apt: apt{source: source, dir: filepath.Join(dir, "apt-"+source.suite), maxAge: *maxAge}}
	return b.build(ctx, recipe, *name, *out)
}
