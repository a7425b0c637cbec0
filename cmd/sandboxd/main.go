// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Command sandboxd is the agent inside a sandbox; see package sandboxd.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"runtime/debug"
	"strings"

	"safebeam.dev/safebeam/pkg/sandboxd"
	"safebeam.dev/safebeam/pkg/sandboxd/process"
)

// list is a flag that may be given more than once.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "sandboxd:", err)
		if errors.Is(err, sandboxd.ErrRefused) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

func run() error {
	var (
		writable, env list
		o             = sandboxd.Options{Release: release(), Log: log.New(os.Stderr, "sandboxd: ", log.LstdFlags)}
		flags         = flag.NewFlagSet("sandboxd", flag.ContinueOnError)
		caFile        = flags.String("ca-file", "", "PEM file with the CA that the gateway's certificate must come from")
		serverName    = flags.String("server-name", "", "name that the gateway's certificate must have; default: the host of --gateway")
		tokenFile     = flags.String("token-file", "", "file with the token that names this pod, read again for every connection")
		tokenFD       = flags.Int("token-fd", -1, "descriptor with the token, in place of --token-file")
		lifelineFD    = flags.Int("lifeline-fd", -1, "descriptor of a pipe whose end of file is the end of sandboxd")
		install       = flags.String("install", "", "copy this binary to the given path and exit; how it gets into an image without it")
	)
	flags.StringVar(&o.Gateway, "gateway", "", "gateway as host:port, or unix: and the path of a socket")
	flags.Var(&writable, "writable-path", "directory that files may be moved in and out of; repeatable, the first is where processes start")
	flags.Var(&env, "env", "NAME=value for every process; repeatable")
	flags.IntVar(&o.MaxProcesses, "max-processes", 0, "processes that may run at one time")
	flags.Uint64Var(&o.MemoryLimit, "memory-limit", 0, "bytes of memory of the sandbox; the guest is ended at 90 %. A lower limit of the cgroup counts")
	flags.Uint64Var(&o.PidsLimit, "pids-limit", 0, "processes and threads of the sandbox; the guest is ended at 90 %. A lower limit of the cgroup counts")
	flags.StringVar(&o.CgroupDir, "cgroup-dir", "", "where the sandbox's cgroup is mounted; default: /sys/fs/cgroup")
	flags.BoolVar(&o.TmpfsApart, "tmpfs-apart", false, "do not count what lies in tmpfs as memory; for sandboxes whose disk is tmpfs of bounded size")
	flags.IntVar(&o.GuestOOMScore, "guest-oom-score", 1000, "oom_score_adj of every process of the guest")
	flags.IntVar(&o.GuestNice, "guest-nice", process.DefaultGuestNice, "nice value of every process of the guest, so that sandboxd gets to run beside many of them")
	if err := flags.Parse(os.Args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil // and told
		}
		return err
	}
	if *install != "" {
		return sandboxd.Install(*install)
	}
	if *lifelineFD >= 0 {
		if err := sandboxd.Lifeline(*lifelineFD); err != nil {
			return err
		}
	}
	if err := sandboxd.Harden(o.PidsLimit); err != nil {
		return err
	}
	o.WritablePaths, o.Env = writable, append([]string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8",
	}, env...)
	if o.Gateway == "" || *caFile == "" {
		return errors.New("--gateway and --ca-file are required")
	}
	name := *serverName
	if name == "" {
		name, _, _ = strings.Cut(o.Gateway, ":")
	}
	ca, err := os.ReadFile(*caFile)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return fmt.Errorf("%s has no certificate", *caFile)
	}
	o.TLS = &tls.Config{RootCAs: pool, ServerName: name, MinVersion: tls.VersionTLS13}
	switch {
	case *tokenFD >= 0:
		if o.Token, err = sandboxd.TokenFD(*tokenFD); err != nil {
			return err
		}
	case *tokenFile != "":
		o.Token = sandboxd.TokenFile(*tokenFile)
	default:
		return errors.New("--token-file or --token-fd is required")
	}
	return sandboxd.Run(context.Background(), o)
}

// release is what the linker or the module system says this build is.
func release() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return info.Main.Version
}
