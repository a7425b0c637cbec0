// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Command safebeam-llm-job calls one language model for the gateway. It is
// started by the controller, as a Job or as a child process; see package
// llmjob for what it promises.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"safebeam.dev/safebeam/pkg/llmjob"
	"safebeam.dev/safebeam/pkg/provider"
)

func main() {
	os.Exit(run(os.Args[1:], os.Getenv, os.Stderr))
}

func run(args []string, getenv func(string) string, stderr io.Writer) int {
	cfg, terminationPath, err := parse(args, getenv, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return llmjob.ExitOK
	case err != nil:
		fmt.Fprintln(stderr, "safebeam-llm-job:", err)
		return llmjob.ExitUsage
	}
	cfg.Log = slog.New(slog.NewJSONHandler(stderr, nil)).With("job", cfg.JobID, "model", cfg.ModelName)
	cfg.NewProvider = factory(provider.DefaultTransport())

	// An SDK prints errors here, and with them whatever a provider wrote.
	log.SetOutput(io.Discard)

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	cfg.Log.Info("Started", "gateway", cfg.ControllerAddr)
	code, message := llmjob.ExitCode(llmjob.Run(ctx, cfg))
	if code != llmjob.ExitOK {
		cfg.Log.Error("Exiting", "code", code, "err", message)
		if err := leaveMessage(terminationPath, message); err != nil {
			cfg.Log.Warn("The termination message could not be written", "err", err)
		}
	}
	return code
}

func parse(args []string, getenv func(string) string, stderr io.Writer) (cfg llmjob.Config, terminationPath string, err error) {
	fs := flag.NewFlagSet("safebeam-llm-job", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&cfg.ControllerAddr, llmjob.FlagControllerAddr, getenv(llmjob.EnvControllerAddr), "host:port of the gateway ($"+llmjob.EnvControllerAddr+")")
	fs.StringVar(&cfg.ModelName, llmjob.FlagModelName, getenv(llmjob.EnvModelName), "the TightbeamModel that the job serves ($"+llmjob.EnvModelName+")")
	fs.StringVar(&cfg.JobID, llmjob.FlagJobID, getenv(llmjob.EnvJobID), "the job's own name ($"+llmjob.EnvJobID+")")
	fs.StringVar(&cfg.SecretDir, llmjob.FlagSecretDir, llmjob.DefaultSecretDir, "directory of the Secret; empty: none, for the provider echo")
	fs.StringVar(&cfg.CAFile, llmjob.FlagCAFile, "", "file of the one CA that the gateway's certificate comes from; empty: the system's")
	fs.StringVar(&cfg.ServerName, llmjob.FlagServerName, "", "the name in the gateway's certificate; empty: the host of --"+llmjob.FlagControllerAddr)
	fs.StringVar(&cfg.TokenFile, llmjob.FlagTokenFile, "", "file of the bearer token for the gateway, read again for every call")
	fs.DurationVar(&cfg.IdleTimeout, llmjob.FlagIdleTimeout, llmjob.DefaultIdleTimeout, "leave after this long without work; 0: stay")
	fs.IntVar(&cfg.TurnsPerJob, llmjob.FlagTurnsPerJob, llmjob.DefaultTurnsPerJob, "turns that run at once")
	fs.DurationVar(&cfg.ShutdownGrace, llmjob.FlagShutdownGrace, llmjob.DefaultShutdownGrace, "how long running turns may go on after SIGTERM, before they are handed over")
	fs.DurationVar(&cfg.ProviderIdleTimeout, llmjob.FlagProviderIdleTimeout, provider.DefaultIdleTimeout, "give an attempt up once the provider was silent for this long")
	fs.StringVar(&terminationPath, llmjob.FlagTerminationMessagePath, llmjob.DefaultTerminationMessagePath, "file for the last word of a job that fails; the default is written only where it exists")
	if err := fs.Parse(args); err != nil {
		return cfg, "", err
	}
	switch {
	case fs.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case cfg.ControllerAddr == "":
		err = fmt.Errorf("--%s or $%s is required", llmjob.FlagControllerAddr, llmjob.EnvControllerAddr)
	case cfg.ModelName == "":
		err = fmt.Errorf("--%s or $%s is required", llmjob.FlagModelName, llmjob.EnvModelName)
	case cfg.IdleTimeout < 0, cfg.ShutdownGrace < 0, cfg.ProviderIdleTimeout <= 0:
		err = errors.New("a duration is negative, or the provider's idle timeout is zero")
	case cfg.TurnsPerJob < 1:
		err = fmt.Errorf("--%s is %d, want at least 1", llmjob.FlagTurnsPerJob, cfg.TurnsPerJob)
	}
	return cfg, terminationPath, err
}

// maxTermination is what the kubelet reads of a termination message.
const maxTermination = 4096

// leaveMessage writes the last word where the launcher looks for it. The
// kubelet makes the default file; where it is not, nobody would read one.
func leaveMessage(path, message string) error {
	if path == "" {
		return nil
	}
	if _, err := os.Stat(path); path == llmjob.DefaultTerminationMessagePath && err != nil {
		return nil
	}
	return os.WriteFile(path, []byte(message[:min(len(message), maxTermination)]), 0o600)
}
