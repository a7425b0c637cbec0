// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"

	"safebeam.dev/safebeam/pkg/apiserver/options"
	"safebeam.dev/safebeam/pkg/controller"
	"safebeam.dev/safebeam/pkg/launcher/localsandbox"
)

// DefaultGatewayAddress is where jobs dial. It is fixed, so that a job that
// outlives the process finds the next one.
const DefaultGatewayAddress = "127.0.0.1:7444"

// Options are the flags of a standalone process.
type Options struct {
	Server *options.Options
	// Kubeconfig is the file that the admin's credential is kept in.
	Kubeconfig string
	// SecretsDir has one directory for each Secret, named as spec.secretName.
	SecretsDir string
	// GatewayAddress is where the gateway listens.
	GatewayAddress string
	// Insecure is the gateway of clients that know neither TLS nor tokens.
	Insecure InsecureOptions
	// LLMJobBinary is the program of LLM jobs.
	LLMJobBinary string
	// SandboxdBinary is the agent in sandboxes.
	SandboxdBinary string
	// MaxSandboxes bounds the sandboxes at one time.
	MaxSandboxes int
	// TurnTTL is how long finished turns stay that name no time.
	TurnTTL time.Duration
	// NewMachine prepares what starts sandboxes. Default: localsandbox.NewMachine.
	// There is no flag: whoever measures everything but the start of processes
	// links this package.
	NewMachine func(localsandbox.MachineOptions) (SandboxMachine, error)
}

// SandboxMachine starts sandboxes that trust the gateway by a bundle which may
// change.
type SandboxMachine interface {
	localsandbox.Machine
	SetCA(pem []byte)
}

// NewOptions returns the defaults.
func NewOptions() *Options {
	server := options.NewStandaloneOptions()
	server.Storage.BBolt.DataDir = defaultDataDir()
	return &Options{
		Server: server, GatewayAddress: DefaultGatewayAddress, Insecure: InsecureOptions{Namespace: "default"}, MaxSandboxes: localsandbox.DefaultMaxPods, TurnTTL: controller.DefaultTurnTTL,
		NewMachine: func(o localsandbox.MachineOptions) (SandboxMachine, error) { return localsandbox.NewMachine(o) },
	}
}

// defaultDataDir follows the XDG base directories.
func defaultDataDir() string {
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "safebeam")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "" // validation asks for the flag
	}
	return filepath.Join(home, ".local", "share", "safebeam")
}

// DataDir is the directory of the store and of everything else that is kept.
func (o *Options) DataDir() string { return o.Server.Storage.BBolt.DataDir }

// AddFlags adds the flags to fs.
func (o *Options) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.Kubeconfig, "kubeconfig", o.Kubeconfig,
		"The file to write, for kubectl, with the admin's credential. Default DATA_DIR/kubeconfig.")
	fs.StringVar(&o.SecretsDir, "secrets-dir", o.SecretsDir,
		"The directory of model secrets: one directory for each, named as spec.secretName, with the files provider, model and api-key. Default DATA_DIR/secrets.")
	fs.StringVar(&o.GatewayAddress, "gateway-address", o.GatewayAddress,
		"The address that the gRPC gateway listens on, for jobs and agents. A fixed port lets jobs that outlive the process find its successor.")
	fs.StringVar(&o.Insecure.Address, "grpc-insecure-address", o.Insecure.Address,
		"For clients and jobs of Tightbeam: an address that the gateway listens on without TLS and tokens besides, a loopback one, or unix: and a path. Whoever reaches it may speak in --grpc-insecure-namespace and answer its turns. Empty: none.")
	fs.StringVar(&o.Insecure.Namespace, "grpc-insecure-namespace", o.Insecure.Namespace,
		"The namespace of those who come by --grpc-insecure-address.")
	fs.StringVar(&o.LLMJobBinary, "llm-job-binary", o.LLMJobBinary,
		"The program of LLM jobs. Default: safebeam-llm-job beside this program, or on PATH.")
	fs.StringVar(&o.SandboxdBinary, "sandboxd-binary", o.SandboxdBinary,
		"The agent that runs in every sandbox, a static binary. Default: sandboxd beside this program, or on PATH.")
	fs.IntVar(&o.MaxSandboxes, "max-sandboxes", o.MaxSandboxes,
		"The number of sandboxes at one time, warm ones included. Further ones stay Pending.")
	fs.DurationVar(&o.TurnTTL, "turn-ttl", o.TurnTTL,
		"How long finished turns stay that do not say so themselves. The log of their conversation stays. 0 keeps them.")
	o.Server.AddFlags(fs)
	if f := fs.Lookup("data-dir"); f != nil {
		f.Usage = "The directory of the store, the kubeconfig and the jobs. It must be on a local file system with working fsync and file locks, and belongs to one process at a time."
	}
}

// Validate reports every setting that cannot be honoured. It comes after
// Complete.
func (o *Options) Validate() error {
	var errs []error
	if err := o.Server.Validate(); err != nil {
		errs = append(errs, err)
	}
	if _, _, err := net.SplitHostPort(o.GatewayAddress); err != nil {
		errs = append(errs, fmt.Errorf("--gateway-address: %w", err))
	}
	if err := o.Insecure.validate(); err != nil {
		errs = append(errs, err)
	}
	if o.MaxSandboxes < 1 {
		errs = append(errs, fmt.Errorf("--max-sandboxes=%d must be at least 1", o.MaxSandboxes))
	}
	if o.TurnTTL < 0 {
		errs = append(errs, fmt.Errorf("--turn-ttl=%v must not be negative", o.TurnTTL))
	}
	return utilerrors.NewAggregate(errs)
}

// Complete fills in what can be derived, makes the data directory and reads
// the admin's credential from it.
func (o *Options) Complete() error {
	if o.DataDir() == "" {
		return errors.New("there is no home directory: give --data-dir")
	}
	dir, err := filepath.Abs(o.DataDir())
	if err != nil {
		return err
	}
	o.Server.Storage.BBolt.DataDir = dir
	if o.SecretsDir == "" {
		o.SecretsDir = filepath.Join(dir, "secrets")
	}
	if o.Kubeconfig == "" {
		o.Kubeconfig = filepath.Join(dir, "kubeconfig")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	if err := refuseOpen(dir); err != nil {
		return err
	}
	if o.Server.Standalone.AdminToken, err = adminToken(o.Kubeconfig); err != nil {
		return err
	}
	return o.Server.Complete()
}

// refuseOpen refuses a directory in which others could put something in the
// place of our files. That they cannot read them is the files' own mode.
func refuseOpen(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("--data-dir: others may write to %s (mode %04o), and it will hold credentials: chmod go-w it or choose another", dir, info.Mode().Perm())
	}
	return nil
}
