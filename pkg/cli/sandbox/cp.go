// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/tools/remotecommand"

	"safebeam.dev/safebeam/pkg/cli/request"
)

func newCp(path string, streams genericiooptions.IOStreams) *cobra.Command {
	var quiet bool
	command := &cobra.Command{
		Use:   "cp (FILE NAME:PATH | NAME:PATH FILE)",
		Short: "Copy files and folders into a sandbox, or out of it",
		Long: `Copy files and folders into a sandbox, or out of it. As cp does it: into the target
if that is a folder, else as the target. A PATH that is not absolute is below
/workspace. - is standard input or output, of one file.

What comes out of a sandbox is written below the target alone. Links that lead out
of what is copied, and devices, are left out. The sandbox needs a tar.`,
		Example: request.Examples(`
  # A file into a sandbox, and a folder out of it
  %[1]s data.csv box:/workspace/
  %[1]s box:/workspace/plots ./plots

  # Through pipes
  pg_dump shop | %[1]s - box:/workspace/shop.sql
  %[1]s box:/workspace/result.json - | jq .`, path),
		Args: func(command *cobra.Command, args []string) error {
			if len(args) != 2 {
				return request.Misused(command, "a source and a target are expected")
			}
			return nil
		},
		DisableFlagsInUseLine: true,
	}
	target := request.AddTarget(command)
	command.Flags().BoolVarP(&quiet, "quiet", "q", false, "Show no progress.")
	names := completeSandboxes(target)
	command.ValidArgsFunction = func(command *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 1 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		// A sandbox, or a file here: both may stand on either side.
		found, _ := names(command, args, prefix)
		for i := range found {
			found[i] += ":"
		}
		return found, cobra.ShellCompDirectiveNoSpace
	}
	command.RunE = func(command *cobra.Command, args []string) error {
		source, err := newEnd(args[0])
		if err != nil {
			return err
		}
		destination, err := newEnd(args[1])
		if err != nil {
			return err
		}
		if (source.in == nil) == (destination.in == nil) {
			return errors.New("one of source and target must be in a sandbox, as NAME:PATH")
		}
		r, err := connect(target)
		if err != nil {
			return err
		}
		c := copying{remote: r, streams: streams, progress: newProgress(streams.ErrOut, quiet)}
		defer c.progress.stop()
		if source.in != nil {
			err = c.download(command.Context(), *source.in, destination.here)
		} else {
			err = c.upload(command.Context(), source.here, *destination.in, strings.HasSuffix(args[1], "/"))
		}
		c.progress.stop()
		return request.Explain(err)
	}
	return command
}

// end is one end of a copy: a place in a sandbox, or a file here.
type end struct {
	in   *place
	here string
}

// newEnd takes for a sandbox what stands before a colon and has no slash. A file
// here whose name has a colon is named with a slash: ./a:b.
func newEnd(text string) (end, error) {
	name, at, found := strings.Cut(text, ":")
	if !found || strings.Contains(name, "/") {
		if text == "" {
			return end{}, errors.New("the name of a file is empty")
		}
		return end{here: text}, nil
	}
	in, err := newPlace(name, at)
	if err != nil {
		return end{}, err
	}
	if in.path == "/" {
		return end{}, fmt.Errorf("%s is the whole sandbox: name something in it", text)
	}
	return end{in: &in}, nil
}

type copying struct {
	*remote
	streams  genericiooptions.IOStreams
	progress *progress
}

// upload copies a file or folder into a sandbox. folder: the target is named as
// one.
func (c *copying) upload(ctx context.Context, from string, to place, folder bool) error {
	if !folder {
		_, stderr, err := c.ask(ctx, to.sandbox, "test", "-d", to.path)
		code, ran := exitCode(err)
		if !ran || code > 1 {
			return describe(fmt.Sprintf("looking at %s", to), stderr, err)
		}
		folder = code == 0
	}
	if from == "-" {
		if folder {
			return fmt.Errorf("%s is a folder: name the file that standard input becomes", to)
		}
		return c.uploadStream(ctx, to)
	}
	name, err := filepath.Abs(from)
	if err != nil {
		return err
	}
	if name, err = filepath.EvalSymlinks(name); err != nil {
		return err
	}
	dir, base := path.Split(to.path)
	if folder {
		dir, base = to.path, filepath.Base(name)
	}
	if c.progress.shown() {
		if err := c.progress.measure(name); err != nil {
			return err
		}
	}
	c.progress.start(filepath.Base(name))

	read, write := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := pack(write, name, base, c.note)
		_ = write.CloseWithError(err) // always nil
		packed <- err
	}()
	var stderr tail
	err = c.exec(ctx, to.sandbox, []string{"tar", "-x", "-f", "-", "-C", dir}, remotecommand.StreamOptions{
		Stdin: counted{read, c.progress.add}, Stderr: &stderr,
	})
	_ = read.CloseWithError(errTold) // always nil
	failed := <-packed
	if failed != nil && !errors.Is(failed, errTold) {
		return failed // what failed here is why it failed there
	}
	if err != nil {
		return describe(fmt.Sprintf("writing to %s", to), string(stderr.kept), err)
	}
	if failed != nil {
		return fmt.Errorf("writing to %s: the sandbox's tar ended before the archive did", to)
	}
	return nil
}

// errTold: the other end has gone, and says why itself.
var errTold = errors.New("the sandbox reads no more")

// uploadStream makes a file of standard input, when all of it is there.
func (c *copying) uploadStream(ctx context.Context, to place) error {
	c.progress.start(path.Base(to.path))
	var stderr tail
	err := c.exec(ctx, to.sandbox, []string{"sh", "-c", `cat >"$1" && mv -f -- "$1" "$2"`, "sh", to.path + ".part", to.path}, remotecommand.StreamOptions{
		Stdin: counted{c.streams.In, c.progress.add}, Stderr: &stderr,
	})
	return describe(fmt.Sprintf("writing to %s", to), string(stderr.kept), err)
}

// download copies a file or folder out of a sandbox.
func (c *copying) download(ctx context.Context, from place, to string) error {
	c.progress.start(path.Base(from.path))
	var stderr tail
	if to == "-" {
		err := c.exec(ctx, from.sandbox, []string{"cat", "--", from.path}, remotecommand.StreamOptions{Stdout: through{c.streams.Out, c.progress.add}, Stderr: &stderr})
		return describe(fmt.Sprintf("reading %s", from), string(stderr.kept), err)
	}
	base := path.Base(from.path)
	dir, name := filepath.Split(filepath.Clean(to))
	if info, err := os.Stat(to); err == nil && info.IsDir() {
		dir, name = to, base
	} else if strings.HasSuffix(to, string(filepath.Separator)) {
		return fmt.Errorf("%s is no folder", to)
	}
	if dir == "" {
		dir = "."
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()

	read, write := io.Pipe()
	u := unpacker{root: root, base: base, name: name, note: c.note}
	unpacked := make(chan error, 1)
	go func() {
		err := u.unpack(counted{read, c.progress.add})
		_ = read.CloseWithError(err) // always nil
		unpacked <- err
	}()
	err = c.exec(ctx, from.sandbox, []string{"tar", "-c", "-f", "-", "-C", path.Dir(from.path), "--", base}, remotecommand.StreamOptions{Stdout: write, Stderr: &stderr})
	ended := io.EOF
	if err != nil {
		ended = errTold
	}
	_ = write.CloseWithError(ended) // always nil
	failed := <-unpacked
	switch {
	case failed != nil && !errors.Is(failed, errTold) && (err == nil || !errors.Is(failed, io.ErrUnexpectedEOF)):
		return failed
	case err != nil:
		return describe(fmt.Sprintf("reading %s", from), string(stderr.kept), err)
	case u.written == 0:
		return fmt.Errorf("nothing of %s was copied", from)
	}
	return nil
}

// note tells something beside the progress.
func (c *copying) note(format string, args ...any) {
	c.progress.aside(func() { fmt.Fprintf(c.streams.ErrOut, "["+format+"]\n", args...) })
}

// describe says in one line what went wrong in a sandbox.
func describe(what, stderr string, err error) error {
	code, ran := exitCode(err)
	if err == nil || !ran {
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	}
	stderr = strings.ReplaceAll(request.Printable(stderr), "tar: Exiting with failure status due to previous errors", "")
	stderr = strings.Join(strings.Fields(stderr), " ")
	switch {
	case code == 126 || code == 127:
		return fmt.Errorf("%s: the sandbox lacks a program that is needed for it (%s)", what, stderr)
	case stderr != "":
		return fmt.Errorf("%s: %s", what, stderr)
	}
	return fmt.Errorf("%s: exit code %d", what, code)
}

// through tells how much was written through it.
type through struct {
	io.Writer
	count func(int)
}

func (t through) Write(data []byte) (int, error) {
	n, err := t.Writer.Write(data)
	t.count(n)
	return n, err
}
