// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"k8s.io/apiserver/pkg/apis/example"
	"k8s.io/apiserver/pkg/storage"
)

// Some things can only be measured on a process of its own: memory, a restart
// after kill -9, what strace sees. For those this program runs itself as a
// child that does one job on our store at a time, each told by a line on its
// standard input and answered by a line on its standard output.

// job is what a child is told.
type job struct {
	// Create makes Count objects by Workers writers.
	Create         bool
	Count, Workers int
	// Get reads one object.
	Get string
}

// result is what a child answers.
type result struct {
	Error string
	// Key is one of the objects made.
	Key  string
	Took time.Duration
	// Syncs is the engine's own count for the job.
	Syncs int64
}

// serveJobs is the child: a store, opened at once.
func serveJobs(ctx context.Context, dir string, in io.Reader, out io.Writer) error {
	c, err := openOurs(ctx, dir)
	if err != nil {
		return err
	}
	defer c.close()
	answer := json.NewEncoder(out)
	if err := answer.Encode(result{}); err != nil {
		return err
	}
	for jobs := json.NewDecoder(in); ; {
		var j job
		if err := jobs.Decode(&j); err != nil {
			return nil //nolint:nilerr // the parent has gone
		}
		if err := answer.Encode(do(ctx, c, j)); err != nil {
			return err
		}
	}
}

func do(ctx context.Context, c *contender, j job) (r result) {
	var syncs int64
	if c.db != nil {
		syncs = c.db.Stats().Syncs
	}
	start := time.Now()
	var err error
	switch {
	case j.Create:
		r.Key, err = fill(ctx, c, j.Count, j.Workers)
	case j.Get != "":
		err = c.store.Get(ctx, j.Get, storage.GetOptions{}, &example.Pod{})
	}
	r.Took = time.Since(start)
	if c.db != nil {
		r.Syncs = c.db.Stats().Syncs - syncs
	}
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

// fill creates objects and returns the key of the last.
func fill(ctx context.Context, c *contender, count, workers int) (last string, err error) {
	err = concurrently(workers, count, func(i int) error {
		key, pod := object("filled")
		if i == count-1 {
			last = key
		}
		return c.store.Create(ctx, key, pod, nil, 0)
	})
	return last, err
}

// child is a running child.
type child struct {
	command *exec.Cmd
	in      *json.Encoder
	out     *json.Decoder
}

// startChild returns when the child's store is open.
func startChild(dir string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.Command(self, "-child", "-dir", dir)
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	c := &child{command: command, in: json.NewEncoder(in), out: json.NewDecoder(bufio.NewReader(out))}
	var opened result
	if err := c.out.Decode(&opened); err != nil {
		c.kill()
		return nil, fmt.Errorf("the child did not open %s: %w", dir, err)
	}
	return c, nil
}

func (c *child) do(j job) (r result, err error) {
	if err := c.in.Encode(j); err != nil {
		return r, err
	}
	if err := c.out.Decode(&r); err != nil {
		return r, err
	}
	if r.Error != "" {
		return r, fmt.Errorf("child: %s", r.Error)
	}
	return r, nil
}

// kill ends the child as a crash would.
func (c *child) kill() {
	_ = c.command.Process.Kill()
	_ = c.command.Wait()
}
