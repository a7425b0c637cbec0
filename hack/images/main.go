// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Command images writes the image of one static program as an OCI tarball,
// without a container engine:
//
//	images -name localhost/app:dev -o app.tar -modified 1700000000 ./app
//
// The image has one layer: the program, the root certificates of the Mozilla
// program, an account and the list of the modules that the program was built
// from. It runs as user 65532. The same inputs make the same bytes: no time
// but the one given, no name or number of this machine.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	fs := flag.NewFlagSet("images", flag.ContinueOnError)
	name := fs.String("name", "", "the image's name with its tag")
	out := fs.String("o", "", "the tarball to write")
	modified := fs.Int64("modified", 0, "the time of everything in the image, in seconds since 1970")
	revision := fs.String("revision", "", "the revision of the source, for the image's labels")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *name == "" || *out == "" || fs.NArg() != 1 {
		return fmt.Errorf("use: images -name NAME:TAG -o FILE [-modified SECONDS] [-revision REVISION] PROGRAM")
	}
	at := time.Unix(*modified, 0).UTC()
	root, err := rootOf(fs.Arg(0))
	if err != nil {
		return err
	}
	layer, err := writeLayer(root, at)
	if err != nil {
		return err
	}
	img := image{
		name: *name, revision: *revision, created: at, layer: layer,
		entrypoint: "/" + filepath.Base(fs.Arg(0)),
	}
	file, err := os.Create(*out)
	if err != nil {
		return err
	}
	if err := img.write(file); err != nil {
		_ = file.Close() // the first error is the one to tell
		return err
	}
	return file.Close()
}
