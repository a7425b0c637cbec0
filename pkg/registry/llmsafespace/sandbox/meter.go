// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"errors"
	"io"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	"safebeam.dev/safebeam/pkg/registry/llmsafespace/remotecommand"
)

// Meter is told what goes through exec and files. Its methods may not block.
type Meter interface {
	// ExecOpened: a client is connected for a command.
	ExecOpened()
	// ExecStarted: its process has started, so long after the request.
	ExecStarted(after time.Duration)
	// ExecBytes: so much standard input and output went over.
	ExecBytes(in, out int)
	// ExecClosed is called once for each ExecOpened. The code is that of the process,
	// if that ended by itself.
	ExecClosed(after time.Duration, ended bool, code int)
	// FileBytes: so much of a file, an archive or a listing went over.
	FileBytes(in, out int)
	// FileServed: a request was answered with that status.
	FileServed(method string, status int, after time.Duration)
}

type unmetered struct{}

func (unmetered) ExecOpened()                           {}
func (unmetered) ExecStarted(time.Duration)             {}
func (unmetered) ExecBytes(int, int)                    {}
func (unmetered) ExecClosed(time.Duration, bool, int)   {}
func (unmetered) FileBytes(int, int)                    {}
func (unmetered) FileServed(string, int, time.Duration) {}

// metered is a session whose bytes are counted.
type metered struct {
	remotecommand.Session
	meter Meter
}

func (m metered) Stdin() io.ReadCloser {
	stdin := m.Session.Stdin()
	if stdin == nil {
		return nil
	}
	return countedReader{stdin, m.meter.ExecBytes}
}

func (m metered) Write(stream remotecommand.Stream, data []byte) error {
	err := m.Session.Write(stream, data)
	if err == nil {
		m.meter.ExecBytes(0, len(data))
	}
	return err
}

// closed tells the end of a command.
func (m metered) closed(began time.Time, exit sandboxes.Exit, err error) {
	m.meter.ExecClosed(time.Since(began), err == nil, exit.Code)
}

type countedReader struct {
	io.ReadCloser
	count func(in, out int)
}

func (c countedReader) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.count(n, 0)
	return n, err
}

// countedWriter is an answer whose bytes are counted, and whose status is known.
type countedWriter struct {
	http.ResponseWriter
	count  func(in, out int)
	status int
}

func (c *countedWriter) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

func (c *countedWriter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.count(0, n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (c *countedWriter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// answered is the status that a request gets whose serving ended with err.
func (c *countedWriter) answered(err error) int {
	var status apierrors.APIStatus
	switch {
	case errors.As(err, &status):
		return int(status.Status().Code)
	case err != nil && !errors.Is(err, errBrokenOff):
		return http.StatusInternalServerError
	}
	return c.status
}
