// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package remotecommand

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Options are what a request asks for: core/v1's PodExecOptions but for the
// container.
type Options struct {
	Command                    []string
	Stdin, Stdout, Stderr, TTY bool
}

// The most that is taken; the length of a URL bounds it besides.
const maxArguments = 4096

// ParseOptions reads the query of a request. What it does not know it refuses.
func ParseOptions(query url.Values) (Options, error) {
	o := Options{Command: query["command"]}
	flags := map[string]*bool{"stdin": &o.Stdin, "stdout": &o.Stdout, "stderr": &o.Stderr, "tty": &o.TTY}
	for name, values := range query {
		flag := flags[name]
		switch {
		case name == "command":
			continue
		case name == "container":
			return o, apierrors.NewBadRequest("container: a sandbox has no containers to choose from; leave it out")
		case flag == nil:
			return o, apierrors.NewBadRequest(fmt.Sprintf("unknown parameter %q: there are command, stdin, stdout, stderr and tty", name))
		case len(values) != 1:
			return o, apierrors.NewBadRequest(fmt.Sprintf("%s is given %d times", name, len(values)))
		}
		value, err := strconv.ParseBool(values[0])
		if err != nil {
			return o, apierrors.NewBadRequest(fmt.Sprintf("%s=%q is neither true nor false", name, values[0]))
		}
		*flag = value
	}
	// A terminal has one output. kubectl asks for stderr all the same.
	if o.TTY {
		o.Stderr = false
	}
	return o, o.validate()
}

func (o *Options) validate() error {
	switch {
	case len(o.Command) == 0 || o.Command[0] == "":
		return apierrors.NewBadRequest("command: the program to run is missing")
	case len(o.Command) > maxArguments:
		return apierrors.NewBadRequest(fmt.Sprintf("command: %d arguments, %d are the most", len(o.Command), maxArguments))
	case !o.Stdin && !o.Stdout && !o.Stderr:
		return apierrors.NewBadRequest("at least one of stdin, stdout and stderr must be true")
	}
	for i, argument := range o.Command {
		if strings.ContainsRune(argument, 0) {
			return apierrors.NewBadRequest(fmt.Sprintf("command: argument %d contains NUL, which no argument can", i))
		}
		if !utf8.ValidString(argument) {
			return apierrors.NewBadRequest(fmt.Sprintf("command: argument %d is no UTF-8", i))
		}
	}
	return nil
}
