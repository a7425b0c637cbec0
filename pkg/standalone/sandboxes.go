// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/klog/v2"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/apiserver"
	"safebeam.dev/safebeam/pkg/apiserver/options"
	"safebeam.dev/safebeam/pkg/controller"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	"safebeam.dev/safebeam/pkg/gateway/sandboxidentity"
	"safebeam.dev/safebeam/pkg/launcher"
	"safebeam.dev/safebeam/pkg/launcher/localsandbox"
)

const (
	sandboxdName = "sandboxd"
	// sandboxServerName is what sandboxd knows the gateway by. It dials no
	// address: each sandbox has a socket of its own.
	sandboxServerName = "sandbox-gateway.safebeam.internal"
)

// addSandboxes puts the gateway of sandboxes into the server, and returns what
// the loops need to run sandboxes on this machine.
func (o *Options) addSandboxes(ctx context.Context, opened *options.Opened, server *apiserver.Server) (controller.SandboxOptions, error) {
	certificate, err := opened.Authority.Issue("safebeam-sandbox-gateway", sandboxServerName)
	if err != nil {
		return controller.SandboxOptions{}, err
	}
	storages := server.Storages.Sandboxes
	tokens := sandboxidentity.NewTokens(storages.Bindings, storages.Live.Over)
	gateway := sandboxes.NewServer(sandboxes.Options{
		TLS:           &tls.Config{GetCertificate: certificate.GetCertificate, MinVersion: tls.VersionTLS13},
		Authenticator: tokens, Observer: storages.Live,
	})
	storages.Live.Serve(gateway)
	machine := localsandbox.Runtimes(ctx, "/")
	if err := server.GenericAPIServer.AddReadyzChecks(runtimesKnown(storages.RuntimeEnvironments, machine)); err != nil {
		return controller.SandboxOptions{}, err
	}
	return controller.SandboxOptions{
		Launcher:    o.sandboxLauncher(ctx, opened, gateway, tokens),
		LostReason:  launcher.ReasonLauncherRestarted,
		LostMessage: "local sandboxes live as long as the process that started them, and that has ended",
		Judge:       localsandbox.Judge(machine), Found: machine,
		FoundLabel: localsandbox.LabelLauncher, FoundValue: localsandbox.LauncherName,
	}, nil
}

// sandboxLauncher is the one of this machine. A machine that cannot run
// sandboxes serves everything else, and says at each sandbox why.
func (o *Options) sandboxLauncher(ctx context.Context, opened *options.Opened, gateway *sandboxes.Server, tokens *sandboxidentity.Tokens) launcher.SandboxLauncher {
	binary, err := findSandboxd(o.SandboxdBinary)
	var machine SandboxMachine
	if err == nil {
		machine, err = o.NewMachine(localsandbox.MachineOptions{
			Sandboxd: binary, DataDir: o.DataDir(), Gateway: gateway, CA: opened.Authority.Bundle(), ServerName: sandboxServerName,
			MaxSandboxes: o.MaxSandboxes,
		})
	}
	if err != nil {
		klog.FromContext(ctx).Error(err, "This machine runs no sandboxes: they stay Pending")
		return localsandbox.Unavailable{Reason: err}
	}
	opened.Authority.OnBundle(machine.SetCA)
	return localsandbox.New(localsandbox.Options{Machine: machine, Tokens: tokens, MaxPods: o.MaxSandboxes})
}

// findSandboxd returns the path of sandboxd: as asked, beside this program, or
// on PATH.
func findSandboxd(asked string) (string, error) {
	if asked != "" {
		path, err := exec.LookPath(asked)
		if err != nil {
			return "", fmt.Errorf("--sandboxd-binary: %w", err)
		}
		return filepath.Abs(path)
	}
	self, err := os.Executable()
	if err == nil {
		if path, err := exec.LookPath(filepath.Join(filepath.Dir(self), sandboxdName)); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath(sandboxdName)
	if err != nil {
		return "", fmt.Errorf("%s is neither beside %s nor on PATH: build it, or name it with --sandboxd-binary", sandboxdName, self)
	}
	return filepath.Abs(path)
}

// runtimesKnown is the part of readiness that says that sandboxes can be made:
// whoever finds a new server ready finds its runtimes too. Once that was so, it
// is nobody's business but the user's what there is.
func runtimesKnown(environments rest.Getter, machine []llmsafespacev1.RuntimeEnvironment) healthz.HealthChecker {
	var known atomic.Bool
	return healthz.NamedCheck("runtimeenvironments", func(r *http.Request) error {
		if known.Load() {
			return nil
		}
		for i := range machine {
			obj, err := environments.Get(r.Context(), machine[i].Name, &metav1.GetOptions{})
			if err != nil {
				return fmt.Errorf("runtime environment %s: %w", machine[i].Name, err)
			}
			if obj.(*llmsafespacev1.RuntimeEnvironment).Status.LastValidated == nil {
				return fmt.Errorf("runtime environment %s has not been looked at", machine[i].Name)
			}
		}
		known.Store(true)
		return nil
	})
}
