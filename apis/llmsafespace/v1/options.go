// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	"net/url"
	"strconv"

	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
)

// optionTypes are the parameters of subresources: what clients encode, what OpenAPI
// lists, and what admission sees of a request.
func optionTypes() []runtime.Object {
	return []runtime.Object{&SandboxExecOptions{}, &SandboxFilesOptions{}, &ExecutionLogOptions{}}
}

// addOptionConversions registers how a query becomes options. What does not fit is
// left out here: the handlers read the query besides, and refuse what they do not
// know, what is given twice, and what has no effect.
func addOptionConversions(scheme *runtime.Scheme) error {
	for _, err := range []error{
		fromQuery(scheme, func(q parameters, o *SandboxExecOptions) {
			o.Stdin, o.Stdout, o.Stderr, o.TTY = q.flag("stdin"), q.flag("stdout"), q.flag("stderr"), q.flag("tty")
			o.Command = q.all("command")
		}),
		fromQuery(scheme, func(q parameters, o *SandboxFilesOptions) {
			o.Path, o.Mode, o.Upload, o.Continue = q.text("path"), q.text("mode"), q.text("upload"), q.text("continue")
			o.Directory, o.Recursive, o.Limit = q.flag("directory"), q.flag("recursive"), q.number("limit")
		}),
		fromQuery(scheme, func(q parameters, o *ExecutionLogOptions) {
			o.Follow, o.After, o.Stream = q.flag("follow"), q.number("after"), q.text("stream")
		}),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

func fromQuery[T any](scheme *runtime.Scheme, read func(parameters, *T)) error {
	return scheme.AddConversionFunc((*url.Values)(nil), (*T)(nil), func(from, to any, _ conversion.Scope) error {
		read(parameters(*from.(*url.Values)), to.(*T))
		return nil
	})
}

// parameters are those of a query.
type parameters url.Values

func (p parameters) all(name string) []string { return append([]string(nil), p[name]...) }
func (p parameters) text(name string) string  { return url.Values(p).Get(name) }

func (p parameters) flag(name string) bool {
	value, _ := strconv.ParseBool(p.text(name))
	return value
}

func (p parameters) number(name string) int64 {
	value, _ := strconv.ParseInt(p.text(name), 10, 64)
	return value
}
