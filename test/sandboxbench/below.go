// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	"safebeam.dev/safebeam/pkg/launcher/bubblewrap"
)

const serverName = "gateway.safebeam.bench"

// below measures sandboxd in a local sandbox through the gateway's own client,
// below the API: what the path from gateway to process costs by itself.
func below(dir, agent string, n int) error {
	b, err := newBench(filepath.Join(dir, "below"), agent)
	if err != nil {
		return err
	}
	defer b.gateway.Close()
	for _, step := range []func() error{
		b.create,
		func() error { time.Sleep(restTime); return b.memory("idle") },
		func() error { return b.sequential("exec_true", n, "/bin/true") },
		func() error { return b.sequential("exec_echo", n, "/bin/echo", "hello") },
		func() error { return b.parallel(32, 4*n) },
		func() error { return b.output(1 << 30) },
		b.files,
		func() error { return b.memory("after_work") },
		func() error { time.Sleep(restTime); return b.memory("idle_again") },
		b.baseline,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

type bench struct {
	gateway  *sandboxes.Server
	launcher *bubblewrap.Launcher
	sandbox  *bubblewrap.Sandbox
	sb       *sandboxes.Sandbox
	ids      atomic.Int64
}

// Authenticate implements sandboxes.Authenticator: the token is the pod's UID.
func (b *bench) Authenticate(_ context.Context, token string) (types.UID, error) {
	return types.UID(token), nil
}

func newBench(dir, agent string) (*bench, error) {
	ca, serving, err := certificate()
	if err != nil {
		return nil, err
	}
	b := &bench{}
	b.gateway = sandboxes.NewServer(sandboxes.Options{TLS: &tls.Config{Certificates: []tls.Certificate{serving}}, Authenticator: b})
	b.launcher, err = bubblewrap.New(bubblewrap.Options{
		Sandboxd: agent, StateDir: filepath.Join(dir, "state"), Gateway: b.gateway, CA: ca, ServerName: serverName,
	})
	return b, err
}

// create measures sandboxes from nothing to connected, and keeps the last.
func (b *bench) create() error {
	var times []time.Duration
	for i := range 20 {
		name := fmt.Sprintf("bench-%d", i)
		began := time.Now()
		s, err := b.launcher.Start(context.Background(), bubblewrap.Spec{Name: name, Token: name, DiskBytes: 4 << 30})
		if err != nil {
			return err
		}
		sb := b.gateway.Sandbox(types.UID(name))
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		err = sb.Wait(ctx)
		cancel()
		if err != nil {
			s.Kill()
			<-s.Done()
			return fmt.Errorf("%s did not connect: %w: %w", name, err, s.Err())
		}
		times = append(times, time.Since(began))
		if b.sandbox != nil {
			b.sandbox.Kill()
		}
		b.sandbox, b.sb = s, sb
	}
	percentiles("below_local_start", times)
	return nil
}

func (b *bench) memory(when string) error {
	resident("below_sandboxd", when, b.sandbox.PID())
	return nil
}

func (b *bench) exec(take func(sandboxes.Chunk) error, argv ...string) error {
	exit, err := b.sb.Run(context.Background(), sandboxes.Command{ID: fmt.Sprint(b.ids.Add(1)), Argv: argv}, sandboxes.Streams{Output: take})
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("%v: exit code %d", argv, exit.Code)
	}
	return err
}

func (b *bench) sequential(name string, n int, argv ...string) error {
	var times []time.Duration
	gateway, agent := b.cpu()
	defer func() { b.perUnit(name, float64(n), gateway, agent, "ms", time.Millisecond) }()
	for range n {
		began := time.Now()
		if err := b.exec(nil, argv...); err != nil {
			return err
		}
		times = append(times, time.Since(began))
	}
	percentiles("below_"+name, times)
	return nil
}

func (b *bench) parallel(workers, n int) error {
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	errs := make(chan error, workers)
	gateway, agent := b.cpu()
	defer func() { b.perUnit(fmt.Sprintf("exec_%d", workers), float64(n), gateway, agent, "ms", time.Millisecond) }()
	began := time.Now()
	for range workers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := b.exec(nil, "/bin/true"); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
	}
	figure(fmt.Sprintf("below_execs_per_s_%d", workers), float64(n)/time.Since(began).Seconds(), "1/s")
	return nil
}

// cpu is the processor time that the gateway's side and sandboxd have used, which a
// busy machine changes less than it changes anything else here.
func (b *bench) cpu() (gateway, agent time.Duration) {
	var own syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &own)
	gateway = time.Duration(own.Utime.Nano() + own.Stime.Nano())
	return gateway, processorTime(b.sandbox.PID())
}

// perUnit prints what was used since, for each of n.
func (b *bench) perUnit(name string, n float64, gateway, agent time.Duration, unit string, scale time.Duration) {
	g, a := b.cpu()
	figure("below_"+name+"_gateway_cpu_"+unit, float64(g-gateway)/float64(scale)/n, unit)
	figure("below_"+name+"_sandboxd_cpu_"+unit, float64(a-agent)/float64(scale)/n, unit)
}

func throughput(name string, size int64, began time.Time) {
	figure(name, float64(size)/(1<<20)/time.Since(began).Seconds(), "MiB/s")
}

func (b *bench) output(size int64) error {
	var got int64
	gateway, agent := b.cpu()
	defer func() { b.perUnit("exec_output_gib", float64(size)/(1<<30), gateway, agent, "s", time.Second) }()
	began := time.Now()
	err := b.exec(func(c sandboxes.Chunk) error { got += int64(len(c.Data)); return nil }, "/usr/bin/head", "-c", fmt.Sprint(size), "/dev/zero")
	if err == nil && got != size {
		err = fmt.Errorf("%d of %d bytes of output", got, size)
	}
	throughput("below_exec_output_mib_s", size, began)
	return err
}

func (b *bench) files() error {
	const size = 512 << 20
	began := time.Now()
	for offset := uint64(0); offset < size; offset += sandboxes.MaxPart {
		_, _, err := b.sb.WritePart(context.Background(), sandboxes.Part{
			Path: "/workspace/file", Upload: "bench", Offset: offset, Commit: offset+sandboxes.MaxPart >= size, Total: size,
		}, io.LimitReader(zeros{}, sandboxes.MaxPart))
		if err != nil {
			return err
		}
	}
	throughput("below_file_upload_mib_s", size, began)
	began = time.Now()
	_, r, err := b.sb.Read(context.Background(), "/workspace/file", 0, 0)
	if err != nil {
		return err
	}
	defer r.Close()
	if n, err := io.Copy(io.Discard, r); err != nil || n != size {
		return fmt.Errorf("read %d of %d bytes: %w", n, size, err)
	}
	throughput("below_file_download_mib_s", size, began)
	return b.sb.Delete(context.Background(), "/workspace/file", false)
}

// baseline is what this machine takes for the same process without any of us.
func (b *bench) baseline() error {
	var times []time.Duration
	for range 200 {
		began := time.Now()
		if err := exec.Command("/bin/true").Run(); err != nil {
			return err
		}
		times = append(times, time.Since(began))
	}
	percentiles("baseline_fork_exec", times)
	return nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func certificate() (ca []byte, serving tls.Certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, serving, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{serverName}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, serving, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
