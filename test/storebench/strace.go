// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ensureStrace installs strace where apt can, and says so where it cannot.
func ensureStrace(ctx context.Context) error {
	if _, err := exec.LookPath("strace"); err == nil {
		return nil
	}
	for _, args := range [][]string{{"apt-get", "update", "-q"}, {"apt-get", "install", "-y", "-q", "--no-install-recommends", "strace"}} {
		if output, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("there is no strace and %s failed: %w\n%s", strings.Join(args, " "), err, output)
		}
	}
	_, err := exec.LookPath("strace")
	return err
}

const syncCalls = "fsync,fdatasync"

// countSyncs counts a process's fsyncs and fdatasyncs while work runs.
func countSyncs(ctx context.Context, pid int, file string, work func() error) (int64, error) {
	trace := exec.CommandContext(ctx, "strace", "-f", "-qq", "-e", "trace="+syncCalls, "-o", file, "-p", strconv.Itoa(pid))
	trace.Stderr = os.Stderr
	if err := trace.Start(); err != nil {
		return 0, err
	}
	// It has attached once the kernel names it as the tracer.
	for end := time.Now().Add(10 * time.Second); !traced(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			_ = trace.Process.Kill()
			return 0, fmt.Errorf("strace did not attach to %d", pid)
		}
	}
	workErr := work()
	_ = trace.Process.Signal(syscall.SIGINT)
	_ = trace.Wait() // it reports the signal
	if workErr != nil {
		return 0, workErr
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return syncsIn(string(data)), nil
}

// syncsIn counts the syncs in strace's output that were done. A call that
// another thread's interrupted in the output has a second line, with the result.
func syncsIn(trace string) (count int64) {
	for line := range strings.Lines(trace) {
		call := strings.Contains(line, "sync(") || strings.Contains(line, "sync resumed>")
		if call && strings.HasSuffix(strings.TrimSpace(line), "= 0") {
			count++
		}
	}
	return count
}

func traced(pid int) bool {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return !strings.Contains(string(data), "TracerPid:\t0\n")
}

// runSyncs counts fsyncs for each create by strace, and compares our engine's
// own count with it.
func (b *bench) runSyncs(ctx context.Context) error {
	fmt.Fprintf(b.out, "\nfsyncs for each create, counted by strace (which slows every system call)\n")
	for _, load := range []job{{Create: true, Workers: 1, Count: 500}, {Create: true, Workers: 64, Count: 5000}} {
		for _, name := range b.names {
			if name == nameKine && load.Workers > 1 {
				continue // it does not batch; strace makes it crawl
			}
			dir := filepath.Join(b.dir, fmt.Sprintf("syncs-%s-%d", name, load.Workers))
			s, err := b.startServer(ctx, name, dir)
			if err != nil {
				return err
			}
			var done result
			counted, err := countSyncs(ctx, s.pid, dir+".strace", func() (err error) {
				done, err = s.do(load)
				return err
			})
			s.kill()
			if err != nil {
				return fmt.Errorf("counting fsyncs of %s: %w", name, err)
			}
			each := float64(counted) / float64(load.Count)
			fmt.Fprintf(b.out, "  %-9s %3d writers: %6d fsyncs, %5d creates, %.4f each", name, load.Workers, counted, load.Count, each)
			suffix := "_strace"
			if name == nameOurs {
				fmt.Fprintf(b.out, "; the engine counted %d", done.Syncs)
				if apart := counted - done.Syncs; apart*apart > 25 {
					fmt.Fprintf(b.out, " — THE COUNTS DISAGREE")
				}
			} else {
				suffix += "_" + name
			}
			fmt.Fprintln(b.out)
			b.figure(fmt.Sprintf("%sfsyncs_per_create_%d%s", b.prefix, load.Workers, suffix), each, "fsyncs/op")
		}
	}
	return nil
}

// runSlow runs the decisive scenarios again, all contenders under an strace
// that makes every fsync take longer.
func (b *bench) runSlow(ctx context.Context, delay time.Duration) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "\nevery fsync %v slower, for everybody\n", delay)
	dir := filepath.Join(b.dir, "slow")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	args := []string{
		"-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=" + syncCalls,
		"-e", fmt.Sprintf("inject=%s:delay_exit=%d", syncCalls, delay.Microseconds()),
		self, "-dir", dir, "-sections", sectionSlowed, "-prefix", b.prefix,
		"-rounds", strconv.Itoa(b.rounds), "-duration", b.duration.String(), "-contenders", nameOurs + "," + nameEtcd,
		"-etcd", b.etcd,
	}
	command := exec.CommandContext(ctx, "strace", args...)
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, os.Stderr
	err = command.Run()
	for line := range strings.Lines(output.String()) {
		if f, ok := parseFigure(line); ok {
			b.figures = append(b.figures, f)
		} else {
			fmt.Fprint(b.out, line)
		}
	}
	return err
}
