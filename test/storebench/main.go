// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc/grpclog"

	"safebeam.dev/safebeam/pkg/apiserver/collector"
	safebeamstorage "safebeam.dev/safebeam/pkg/storage"
)

// bench is one run.
type bench struct {
	dir, prefix string
	etcd        string
	names       []string
	openers     map[string]opener
	only        []string
	rounds      int
	objects     int
	duration    time.Duration
	fanOut      time.Duration
	out         io.Writer
	figures     []figure
}

// sections in the order in which they run. The section slowed is what slow runs
// in a process of its own.
var sections = []string{"disk", "rounds", "syncs", "slow", "fanout", "cache", "online", "restart"}

const sectionSlowed = "slowed"

func main() {
	var b bench
	var child, short bool
	var kine, wanted, contenders, only string
	flag.StringVar(&b.dir, "dir", "_output/storebench", "directory on the disk to measure; a run cleans up after itself")
	flag.StringVar(&b.etcd, "etcd", "bin/storebench-etcd", "etcd binary")
	flag.StringVar(&kine, "kine", "bin/storebench-kine", "kine binary")
	flag.StringVar(&contenders, "contenders", strings.Join([]string{nameOurs, nameEtcd, nameKine}, ","), "who takes part")
	flag.StringVar(&wanted, "sections", strings.Join(sections, ","), "what to measure")
	flag.StringVar(&only, "only", "", "scenarios to run in the section rounds, by name or by the part before the number (default all)")
	flag.StringVar(&b.prefix, "prefix", "", "prefix of figures' names")
	flag.IntVar(&b.rounds, "rounds", 5, "interleaved rounds of each scenario")
	flag.DurationVar(&b.duration, "duration", 1500*time.Millisecond, "length of one contender's turn in a round")
	flag.DurationVar(&b.fanOut, "fanout", 10*time.Second, "length of a fan-out")
	flag.IntVar(&b.objects, "objects", 100000, "objects of the restart and, up to 10,000, of the cache")
	flag.BoolVar(&short, "short", false, "a few minutes instead of ten")
	profile := flag.String("cpuprofile", "", "write a CPU profile of this process to the file")
	flag.BoolVar(&child, "child", false, "serve one store's jobs on standard input (used by the program itself)")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	safebeamstorage.AssumeProgress()
	// The clients of all stores are in this process, and ours is itself: it collects
	// its garbage as a server does.
	collector.Pace()
	// Clients retry until their server is up, and would tell.
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
	b.out = os.Stdout
	if child {
		exit(serveJobs(ctx, b.dir, os.Stdin, os.Stdout))
	}
	if short {
		b.duration, b.fanOut = 500*time.Millisecond, 3*time.Second
		b.objects = min(b.objects, 20000)
	}
	if only != "" {
		b.only = strings.Split(only, ",")
	}
	b.names = strings.Split(contenders, ",")
	// Servers are started in directories of their own.
	for _, binary := range []*string{&b.etcd, &kine} {
		absolute, err := filepath.Abs(*binary)
		if err != nil {
			exit(err)
		}
		*binary = absolute
	}
	b.openers = map[string]opener{nameOurs: openOurs, nameEtcd: openEtcd(b.etcd), nameKine: openKine(kine)}
	stopProfile, err := startProfile(*profile)
	if err != nil {
		exit(err)
	}
	err = b.run(ctx, strings.Split(wanted, ","))
	exit(errors.Join(err, stopProfile()))
}

// startProfile profiles this process, which for ours is client and server, to
// the end.
func startProfile(path string) (stop func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "storebench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func (b *bench) run(ctx context.Context, wanted []string) (err error) {
	for _, name := range b.names {
		if b.openers[name] == nil {
			return fmt.Errorf("unknown contender %q", name)
		}
	}
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return err
	}
	if b.dir, err = filepath.Abs(b.dir); err != nil {
		return err
	}
	if err := refuseMemory(b.dir); err != nil {
		return err
	}
	// Only what a run before this one has left: the directory may be one that
	// somebody chose by mistake.
	if b.dir, err = os.MkdirTemp(b.dir, "run-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir) //nolint:errcheck // leftovers are in the way of nothing
	if slices.Contains(wanted, sectionSlowed) {
		err := b.runRounds(ctx, slowScenarios())
		b.printFigures()
		return err
	}
	fmt.Fprintf(b.out, "machine: %s\n", machine(b.dir))

	straceErr := error(nil)
	if slices.Contains(wanted, "syncs") || slices.Contains(wanted, "slow") {
		straceErr = ensureStrace(ctx)
	}
	run := map[string]func() error{
		"disk":   b.runDisk,
		"rounds": func() error { return b.runRounds(ctx, scenarios()) },
		"syncs":  func() error { return errors.Join(straceErr, skip(straceErr, func() error { return b.runSyncs(ctx) })) },
		"slow": func() error {
			return errors.Join(straceErr, skip(straceErr, func() error { return b.runSlow(ctx, 2*time.Millisecond) }))
		},
		"fanout":  func() error { return b.runFanOut(ctx, 1000, 100) },
		"cache":   func() error { return b.runCacheFill(ctx, min(b.objects, 10000)) },
		"online":  func() error { return b.runOnline(ctx, b.objects) },
		"restart": func() error { return b.runRestart(ctx, b.objects) },
	}
	for _, section := range sections {
		if !slices.Contains(wanted, section) {
			continue
		}
		if sectionErr := run[section](); sectionErr != nil {
			// One section that fails, for want of strace for example, does
			// not take the others' figures with it.
			fmt.Fprintf(b.out, "\nsection %s FAILED: %v\n", section, sectionErr)
			err = errors.Join(err, fmt.Errorf("section %s: %w", section, sectionErr))
		}
		debug.FreeOSMemory()
	}
	fmt.Fprintf(b.out, "\nload afterwards: %s\n", load())
	b.printAims()
	b.printFigures()
	return err
}

func skip(because error, work func() error) error {
	if because != nil {
		return nil
	}
	return work()
}

func (b *bench) runDisk() error {
	took, err := diskSync(b.dir, b.duration)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "disk: 4 KiB into a zeroed file and fdatasync: p50 %.3f ms, p99 %.3f ms\n",
		ms(percentile(took, 50)), ms(percentile(took, 99)))
	b.figure(b.prefix+"disk_fdatasync_p50_ms", ms(percentile(took, 50)), "ms")
	b.figure(b.prefix+"disk_fdatasync_p99_ms", ms(percentile(took, 99)), "ms")
	return nil
}

// heap returns the bytes of live objects.
func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
