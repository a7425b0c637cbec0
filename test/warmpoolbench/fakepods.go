// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/spf13/pflag"
	"google.golang.org/grpc"
	"k8s.io/klog/v2"

	"safebeam.dev/safebeam/pkg/launcher/bubblewrap"
	"safebeam.dev/safebeam/pkg/launcher/localsandbox"
	"safebeam.dev/safebeam/pkg/sandboxd/carriage"
	"safebeam.dev/safebeam/pkg/standalone"
	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// A fake pod is what a claim sees of a pod, without the start of processes: an
// agent that dials the gateway over TLS, shows its token, and takes its
// configuration. All of them live in one process beside the server, as the pods of
// another machine would, and the server is the real one in everything else.

// Words by which this program calls itself.
const (
	serveFakePods = "serve-with-fake-pods"
	hostFakePods  = "host-fake-pods"
)

// becomeAnother runs what this program was called as by itself.
func becomeAnother() (was bool, err error) {
	if len(os.Args) < 2 {
		return false, nil
	}
	switch os.Args[1] {
	case serveFakePods:
		return true, serve(os.Args[2:])
	case hostFakePods:
		return true, host()
	}
	return false, nil
}

// order is one line to the process of the fake pods.
type order struct {
	Name string
	// End ends the pod; all else is for the start of one.
	End                       bool
	Socket, Token, ServerName string
	CA                        []byte
}

// fakeMachine has the pods started by the other process.
type fakeMachine struct {
	options localsandbox.MachineOptions
	dir     string

	mu     sync.Mutex
	orders *json.Encoder
	ca     []byte
}

func newFakeMachine(ctx context.Context, o localsandbox.MachineOptions) (*fakeMachine, error) {
	dir, err := os.MkdirTemp("", "fakepods-")
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { os.RemoveAll(dir) })
	pods := exec.Command("/proc/self/exe", hostFakePods)
	pods.Stderr = os.Stderr
	orders, err := pods.StdinPipe() // it ends with us
	if err != nil {
		return nil, err
	}
	if err := pods.Start(); err != nil {
		return nil, err
	}
	return &fakeMachine{options: o, dir: dir, orders: json.NewEncoder(orders), ca: o.CA}, nil
}

func (m *fakeMachine) SetCA(pem []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ca = pem
}

func (m *fakeMachine) order(o order) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	o.CA = m.ca
	return m.orders.Encode(o)
}

// Start implements localsandbox.Machine. Each pod has a socket of its own, as those
// of bubblewrap do.
func (m *fakeMachine) Start(ctx context.Context, spec bubblewrap.Spec) (localsandbox.Process, error) {
	socket := filepath.Join(m.dir, spec.Name)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	pod := &fakePod{done: make(chan struct{})}
	go func() {
		defer close(pod.done)
		_ = m.options.Gateway.Serve(ctx, listener)
		_ = m.order(order{Name: spec.Name, End: true})
	}()
	return pod, m.order(order{Name: spec.Name, Socket: socket, Token: spec.Token, ServerName: m.options.ServerName})
}

type fakePod struct{ done chan struct{} }

func (p *fakePod) Done() <-chan struct{} { return p.done }
func (p *fakePod) Err() error            { return nil }
func (p *fakePod) Limits() []string      { return []string{"memory", "pids", "cpu"} }

// serve is safebeam standalone but for the pods.
func serve(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o := standalone.NewOptions()
	o.NewMachine = func(machine localsandbox.MachineOptions) (standalone.SandboxMachine, error) {
		return newFakeMachine(ctx, machine)
	}
	flags := pflag.NewFlagSet(serveFakePods, pflag.ContinueOnError)
	o.AddFlags(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	klog.LogToStderr(false) // as the program does; what a bench says is on standard output
	klog.SetOutput(io.Discard)
	if err := o.Complete(); err != nil {
		return err
	}
	if err := o.Validate(); err != nil {
		return err
	}
	return standalone.Run(ctx, o, nil)
}

// host runs fake pods until nobody gives orders any more.
func host() error {
	running := map[string]context.CancelFunc{}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return err
		}
		if o.End {
			if end := running[o.Name]; end != nil {
				end()
				delete(running, o.Name)
			}
			continue
		}
		ctx, end := context.WithCancel(context.Background())
		running[o.Name] = end
		go func() {
			if err := o.live(ctx); err != nil && ctx.Err() == nil {
				fmt.Fprintf(os.Stderr, "fake pod %s: %v\n", o.Name, err)
			}
		}()
	}
	return lines.Err()
}

// live is sandboxd's part of a warm pod's life.
func (o *order) live(ctx context.Context) error {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(o.CA) {
		return errors.New("no CA")
	}
	raw, err := net.Dial("unix", o.Socket)
	if err != nil {
		return err
	}
	conn := tls.Client(raw, &tls.Config{RootCAs: roots, ServerName: o.ServerName, MinVersion: tls.VersionTLS13, NextProtos: []string{carriage.Protocol}})
	instance := make([]byte, carriage.InstanceBytes)
	rand.Read(instance)
	var welcome sandboxpb.Welcome
	if err := errors.Join(
		carriage.WriteMessage(conn, &sandboxpb.Hello{Token: o.Token, Instance: instance, Release: "fake"}),
		carriage.ReadMessage(conn, &welcome),
	); err != nil || welcome.Verdict != sandboxpb.Welcome_ACCEPTED {
		conn.Close()
		return fmt.Errorf("%s: %w", welcome.Verdict, err)
	}
	server := carriage.NewServer()
	defer server.Stop()
	sandboxpb.RegisterAgentServer(server, &fakeAgent{})
	err = carriage.Serve(ctx, server, conn)
	if errors.Is(err, carriage.ErrConnectionLost) || errors.Is(err, grpc.ErrServerStopped) {
		return nil // as every sandbox ends
	}
	return err
}

// fakeAgent takes one configuration, for life, as sandboxd does.
type fakeAgent struct {
	sandboxpb.UnimplementedAgentServer
	mu  sync.Mutex
	uid string
}

func (a *fakeAgent) Configure(_ context.Context, r *sandboxpb.ConfigureRequest) (*sandboxpb.ConfigureResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.uid != "" && a.uid != r.SandboxUid {
		return nil, fmt.Errorf("configured for %s", a.uid)
	}
	a.uid = r.SandboxUid
	return &sandboxpb.ConfigureResponse{}, nil
}

func (a *fakeAgent) Health(context.Context, *sandboxpb.HealthRequest) (*sandboxpb.HealthResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return &sandboxpb.HealthResponse{Release: "fake", SandboxUid: a.uid}, nil
}
