// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxd

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"safebeam.dev/safebeam/pkg/sandboxd/carriage"
	"safebeam.dev/safebeam/pkg/sandboxd/files"
	"safebeam.dev/safebeam/pkg/sandboxd/guard"
	"safebeam.dev/safebeam/pkg/sandboxd/process"
	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// Options of sandboxd.
type Options struct {
	// Gateway is host:port, or "unix:" and a path.
	Gateway string
	// TLS has the pinned CA and the server name.
	TLS *tls.Config
	// Token gives the token for each dial, so that a rotated one is found.
	Token func() (string, error)
	// WritablePaths are what Files serves; the first is where processes start.
	WritablePaths []string
	// Env is the base environment of every process.
	Env []string
	// MaxProcesses, MemoryLimit, PidsLimit: see proto Limits. CgroupDir is where
	// the sandbox's cgroup can be read if not at its usual place.
	MaxProcesses int
	MemoryLimit  uint64
	PidsLimit    uint64
	CgroupDir    string
	// TmpfsApart: tmpfs is disk, bounded by itself, and not memory.
	TmpfsApart bool
	// GuestOOMScore is given to every process of the guest.
	GuestOOMScore int
	// GuestNice is their nice value.
	GuestNice int
	Release   string
	Log       *log.Logger
}

// ErrRefused says that the gateway wants no connection of this sandbox, ever.
var ErrRefused = errors.New("refused by the gateway")

const (
	dialTimeout  = 10 * time.Second
	firstBackoff = 50 * time.Millisecond
	maxBackoff   = 5 * time.Second
	// steady: a connection that held that long starts the backoff anew.
	steady = 10 * time.Second
)

// Run serves the gateway until ctx is over or the gateway refuses for good.
func Run(ctx context.Context, o Options) error {
	if len(o.WritablePaths) == 0 {
		return errors.New("no writable path")
	}
	roots, err := files.OpenRoots(o.WritablePaths)
	if err != nil {
		return err
	}
	instance := make([]byte, carriage.InstanceBytes)
	rand.Read(instance)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	garbage := newCollector()
	var watch *guard.Guard
	manager := process.NewManager(process.Options{
		MaxProcesses: o.MaxProcesses, GuestOOMScore: o.GuestOOMScore, GuestNice: o.GuestNice,
		Exhausted: func() bool { return watch.Exhausted() },
	})
	watch = guard.New(guard.Options{
		MemoryLimit: o.MemoryLimit, PidsLimit: o.PidsLimit, CgroupDir: o.CgroupDir, TmpfsApart: o.TmpfsApart,
		EndGuest: func(reason guard.Reason, message string) int {
			return manager.EndGuest(exitReason(reason), message)
		},
		Yield:    manager.Yield,
		Looked:   garbage.tell,
		HasGuest: func() bool { return guard.AnyGuest(manager.Running()) },
	})
	set := &settings{base: o.Env, dir: o.WritablePaths[0]}
	filesService := files.NewService(roots)
	defer filesService.Close()

	asked := newActivity(garbage)
	server := carriage.NewServer(asked.options()...)
	sandboxpb.RegisterProcessesServer(server, &processes{manager: manager, settings: set, guard: watch})
	sandboxpb.RegisterFilesServer(server, filesService)
	sandboxpb.RegisterAgentServer(server, &agent{release: o.Release, settings: set, manager: manager, guard: watch, files: filesService})

	var owned sync.WaitGroup
	owned.Go(func() { manager.Run(ctx) })
	owned.Go(func() { watch.Run(ctx) })
	owned.Go(func() { filesService.Run(ctx) })
	owned.Go(func() { garbage.run(ctx, manager.Undisturbed) })
	owned.Go(func() { trim(ctx, asked, manager.Undisturbed) })
	err = serve(ctx, &o, instance, server, asked)
	cancel()
	server.Stop()
	owned.Wait()
	return err
}

func exitReason(r guard.Reason) process.Reason {
	if r == guard.Pids {
		return process.PidsLimit
	}
	return process.MemoryLimit
}

// serve dials and serves, again and again.
func serve(ctx context.Context, o *Options, instance []byte, server *grpc.Server, asked *activity) error {
	backoff := firstBackoff
	for {
		began := time.Now()
		conn, err := dial(ctx, o, instance)
		if err == nil {
			began = time.Now()
			asked.stir()
			err = carriage.Serve(ctx, server, conn)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, ErrRefused) {
			return err
		}
		o.Log.Printf("connection to the gateway: %v", err)
		if time.Since(began) > steady {
			backoff = firstBackoff
		}
		select {
		case <-time.After(backoff/2 + jitter(backoff/2)):
		case <-ctx.Done():
			return ctx.Err()
		}
		backoff = min(backoff*2, maxBackoff)
	}
}

// dial connects and is welcomed.
func dial(ctx context.Context, o *Options, instance []byte) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	token, err := o.Token()
	if err != nil {
		return nil, fmt.Errorf("reading the token: %w", err)
	}
	network, address := "tcp", o.Gateway
	if path, ok := strings.CutPrefix(o.Gateway, "unix:"); ok {
		network, address = "unix", path
	}
	raw, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	config := o.TLS.Clone()
	config.NextProtos = []string{carriage.Protocol}
	conn := tls.Client(raw, config)
	if err := greet(ctx, conn, &sandboxpb.Hello{Token: token, Instance: instance, Release: o.Release}); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func greet(ctx context.Context, conn *tls.Conn, hello *sandboxpb.Hello) error {
	if err := conn.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	if conn.ConnectionState().NegotiatedProtocol != carriage.Protocol {
		return errors.New("the gateway does not speak " + carriage.Protocol)
	}
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	defer conn.SetDeadline(time.Time{})
	if err := carriage.WriteMessage(conn, hello); err != nil {
		return err
	}
	var welcome sandboxpb.Welcome
	if err := carriage.ReadMessage(conn, &welcome); err != nil {
		return err
	}
	switch welcome.Verdict {
	case sandboxpb.Welcome_ACCEPTED:
		return nil
	case sandboxpb.Welcome_DUPLICATE, sandboxpb.Welcome_GONE:
		return fmt.Errorf("%w: %s: %s", ErrRefused, welcome.Verdict, welcome.Message)
	}
	return fmt.Errorf("%s: %s", welcome.Verdict, welcome.Message)
}

func jitter(most time.Duration) time.Duration {
	var b [2]byte
	rand.Read(b[:])
	return most * time.Duration(int(b[0])<<8|int(b[1])) / (1 << 16)
}

// TokenFile reads the token anew each time.
func TokenFile(path string) func() (string, error) {
	return func() (string, error) {
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer f.Close()
		token, err := io.ReadAll(io.LimitReader(f, carriage.MaxHello))
		return strings.TrimSpace(string(token)), err
	}
}

// TokenFD reads the token once from a descriptor that only sandboxd was given, so
// that the guest never sees it.
func TokenFD(fd int) (func() (string, error), error) {
	f := os.NewFile(uintptr(fd), "token")
	if f == nil {
		return nil, fmt.Errorf("no descriptor %d", fd)
	}
	defer f.Close()
	token, err := io.ReadAll(io.LimitReader(f, carriage.MaxHello))
	if err != nil {
		return nil, err
	}
	value := strings.TrimSpace(string(token))
	return func() (string, error) { return value, nil }, nil
}
