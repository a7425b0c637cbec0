// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/cli-runtime/pkg/printers"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/cli/request"
)

func newLs(path string, streams genericiooptions.IOStreams) *cobra.Command {
	var long, all bool
	command := &cobra.Command{
		Use:   "ls [NAME[:PATH]]",
		Short: "List sandboxes, or the files of one",
		Long: `List the sandboxes of the namespace, or the files of a sandbox: those below its
writable paths. The sandbox must be running. Default PATH: /workspace.`,
		Example: request.Examples(`
  # All sandboxes
  %[1]s

  # Files, with their sizes and times
  %[1]s -l box:/workspace`, path),
		Args:                  cobra.MaximumNArgs(1),
		DisableFlagsInUseLine: true,
	}
	target := request.AddTarget(command)
	command.Flags().BoolVarP(&long, "long", "l", false, "Files with mode, size and time.")
	command.Flags().BoolVarP(&all, "all-namespaces", "A", false, "Sandboxes of all namespaces.")
	command.ValidArgsFunction = request.First(completeSandboxes(target))
	command.RunE = func(command *cobra.Command, args []string) error {
		r, err := connect(target)
		if err != nil {
			return err
		}
		if len(args) == 0 {
			if all {
				r.namespace = metav1.NamespaceAll
			}
			return request.Explain(r.listSandboxes(command.Context(), streams.Out, time.Now()))
		}
		if all {
			return fmt.Errorf("-A lists sandboxes, and %s names files", args[0])
		}
		name, dir, found := strings.Cut(args[0], ":")
		if !found {
			dir = "/workspace"
		}
		at, err := newPlace(name, dir)
		if err != nil {
			return err
		}
		return request.Explain(r.listFiles(command.Context(), at, long, streams.Out))
	}
	return command
}

func (r *remote) listSandboxes(ctx context.Context, out io.Writer, now time.Time) error {
	list, err := r.Sandboxes(r.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	table := printers.GetNewTabWriter(out)
	row := func(namespace string, columns ...string) {
		if r.namespace == metav1.NamespaceAll {
			columns = append([]string{namespace}, columns...)
		}
		fmt.Fprintln(table, request.Printable(strings.Join(columns, "\t")))
	}
	row("NAMESPACE", "NAME", "PHASE", "RUNTIME", "AGE", "EXPIRES IN")
	for _, s := range list.Items {
		phase, expires := string(s.Status.Phase), ""
		if s.DeletionTimestamp != nil && !s.Status.Phase.Terminal() {
			phase = string(llmsafespacev1.SandboxTerminating)
		}
		if s.Status.Reason != "" && s.Status.Phase.Terminal() {
			phase += " (" + s.Status.Reason + ")"
		}
		if s.Status.ExpiresAt != nil && !s.Status.Phase.Terminal() {
			expires = duration.HumanDuration(max(0, s.Status.ExpiresAt.Sub(now)))
		}
		row(s.Namespace, s.Name, phase, s.Spec.Runtime, duration.HumanDuration(now.Sub(s.CreationTimestamp.Time)), expires)
	}
	return table.Flush()
}

const pageEntries = 1000

// listing is a page of a folder, as sandboxes/files gives it.
type listing struct {
	Entries []struct {
		Name       string      `json:"name"`
		Type       string      `json:"type"`
		Mode       string      `json:"mode"`
		Size       int64       `json:"size"`
		ModTime    metav1.Time `json:"modTime"`
		LinkTarget string      `json:"linkTarget"`
	} `json:"entries"`
	Continue string `json:"continue"`
}

func (r *remote) listFiles(ctx context.Context, at place, long bool, out io.Writer) error {
	table := printers.GetNewTabWriter(out)
	for next := ""; ; {
		get := r.RESTClient().Get().Namespace(r.namespace).Resource("sandboxes").Name(at.sandbox).SubResource("files").
			Suffix(strings.Split(strings.TrimPrefix(at.path, "/"), "/")...).
			SetHeader("Accept", "application/json").
			Param("limit", strconv.Itoa(pageEntries)) // files know no limit: the content of one is not sent
		if next != "" {
			get = get.Param("continue", next)
		}
		result := get.Do(ctx)
		if err := result.Error(); err != nil {
			return err
		}
		answer, err := result.Raw()
		if err != nil {
			return err
		}
		var page listing
		if err := json.Unmarshal(answer, &page); err != nil || page.Entries == nil {
			return fmt.Errorf("%s is no folder", at)
		}
		for _, e := range page.Entries {
			// A name may have a tab or a line break in it: that is no column.
			name := request.Printable(strings.NewReplacer("\t", "?", "\n", "?").Replace(e.Name))
			if e.Type == "Directory" {
				name += "/"
			}
			if !long {
				fmt.Fprintln(table, name)
				continue
			}
			if e.LinkTarget != "" {
				name += " -> " + request.Printable(strings.NewReplacer("\t", "?", "\n", "?").Replace(e.LinkTarget))
			}
			fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", e.Type, e.Mode, e.Size, e.ModTime.UTC().Format(time.RFC3339), name)
		}
		if next = page.Continue; next == "" {
			return table.Flush()
		}
	}
}

// place is a path in a sandbox.
type place struct{ sandbox, path string }

func (p place) String() string { return p.sandbox + ":" + request.Printable(p.path) }

// newPlace refuses what is none. A path that is not absolute is one below
// /workspace.
func newPlace(sandbox, name string) (place, error) {
	if err := request.ValidName("sandbox", sandbox); err != nil {
		return place{}, err
	}
	if strings.ContainsRune(name, 0) {
		return place{}, fmt.Errorf("%q has a NUL byte", name)
	}
	if !path.IsAbs(name) {
		name = path.Join("/workspace", name)
	}
	return place{sandbox, path.Clean(name)}, nil
}
