// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"io"
	"strconv"

	"k8s.io/klog/v2"
)

// setUpLogs writes logs to standard error: warnings and errors, and from
// verbosity 1 on everything up to it.
func setUpLogs(verbosity int) {
	flags := flag.NewFlagSet("klog", flag.PanicOnError)
	klog.InitFlags(flags)
	set := func(name, value string) {
		if err := flags.Set(name, value); err != nil {
			panic(err) // the flags are klog's own
		}
	}
	set("v", strconv.Itoa(verbosity))
	if verbosity > 0 {
		return
	}
	// What goes to the files goes nowhere; what reaches the threshold goes to
	// standard error beside it.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	set("stderrthreshold", "WARNING")
}
