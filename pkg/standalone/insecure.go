// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"

	"k8s.io/apiserver/pkg/authentication/user"

	"safebeam.dev/safebeam/pkg/apiserver"
	"safebeam.dev/safebeam/pkg/apiserver/identity"
	"safebeam.dev/safebeam/pkg/gateway"
)

// InsecureOptions are for clients and jobs of Tightbeam, which know neither TLS nor
// tokens. All of them are one identity: any job of one namespace, and an agent that
// may do there what edit may.
type InsecureOptions struct {
	// Address is host:port on a loopback address, or unix: and a path. Empty: there
	// is no such listener.
	Address string
	// Namespace is theirs.
	Namespace string
}

const unixPrefix = "unix:"

func (o *InsecureOptions) validate() error {
	if o.Address == "" {
		return nil
	}
	if o.Namespace == "" {
		return fmt.Errorf("--grpc-insecure-namespace must not be empty")
	}
	if path, unix := strings.CutPrefix(o.Address, unixPrefix); unix {
		if path == "" {
			return fmt.Errorf("--grpc-insecure-address=%q has no path", o.Address)
		}
		return nil
	}
	host, _, err := net.SplitHostPort(o.Address)
	if err != nil {
		return fmt.Errorf("--grpc-insecure-address: %w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("--grpc-insecure-address=%s: without TLS and tokens the gateway listens on a loopback address or a unix socket only", o.Address)
	}
	return nil
}

// listen opens the listener. A socket's file is its owner's alone, and one that a
// killed process left behind is taken away.
func (o *InsecureOptions) listen(ctx context.Context) (net.Listener, error) {
	path, unix := strings.CutPrefix(o.Address, unixPrefix)
	if !unix {
		return listen(ctx, o.Address)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == os.ModeSocket {
		var dialer net.Dialer
		if conn, err := dialer.DialContext(ctx, "unix", path); err == nil {
			conn.Close()
		} else if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		listener.Close()
		return nil, err
	}
	return listener, nil
}

// add has the gateway served there, too.
func (o *InsecureOptions) add(ctx context.Context, server *apiserver.Server, grpc *gateway.Server) error {
	if o.Address == "" {
		return nil
	}
	listener, err := o.listen(ctx)
	if err != nil {
		return fmt.Errorf("--grpc-insecure-address: %w", err)
	}
	// A ServiceAccount's name says which namespace its turns are of.
	agent := &user.DefaultInfo{
		Name:   "system:serviceaccount:" + o.Namespace + ":tightbeam",
		Groups: []string{identity.GroupEdit, user.AllAuthenticated},
	}
	job := gateway.Identity{Role: gateway.RoleLLMJob, Namespace: o.Namespace}
	server.Add(apiserver.Component{Name: "insecure gateway", Run: func(ctx context.Context) error {
		defer listener.Close()
		return grpc.ServeInsecure(ctx, listener, job, agent)
	}})
	return nil
}
