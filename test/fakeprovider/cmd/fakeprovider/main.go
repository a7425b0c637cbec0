// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Command fakeprovider serves package fakeprovider in a process of its own, for
// benchmarks and end-to-end tests. Without flags it answers as the model name
// says (paced-DELTASxBYTES@PERSECOND); with them, every request alike.
//
// It prints the base URL as its first line on standard output, and leaves on
// SIGTERM or when standard input ends with --until-eof.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"safebeam.dev/safebeam/test/fakeprovider"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "fakeprovider:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	fs := flag.NewFlagSet("fakeprovider", flag.ContinueOnError)
	listen := fs.String("listen", "127.0.0.1:0", "address")
	keyFile := fs.String("key-file", "", "file of the only API key that is let in; empty: any")
	deltas := fs.Int("deltas", 0, "answer with so many deltas, whatever the model's name; 0: as the name says")
	size := fs.Int("delta-bytes", 20, "bytes of a delta")
	rate := fs.Float64("rate", 0, "deltas per second; 0: without delay")
	untilEOF := fs.Bool("until-eof", false, "leave when standard input ends")
	if err := fs.Parse(args); err != nil {
		return err
	}
	fake := fakeprovider.New()
	fake.Forget()
	if *keyFile != "" {
		key, err := os.ReadFile(*keyFile)
		if err != nil {
			return err
		}
		fake.Key = strings.TrimSpace(string(key))
	}
	if *deltas > 0 {
		reply, ok := fakeprovider.ParsePace(fmt.Sprintf("paced-%dx%d@%g", *deltas, *size, *rate))
		if !ok {
			return errors.New("--deltas, --delta-bytes or --rate is out of range")
		}
		fake.Default(reply)
	}
	lis, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: fake, ReadHeaderTimeout: 10 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if *untilEOF {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	fmt.Printf("http://%s\n", lis.Addr())
	if err := srv.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
