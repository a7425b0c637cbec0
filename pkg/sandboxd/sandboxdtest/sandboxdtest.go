// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sandboxdtest runs a real sandboxd, as a process of its own, beside a
// test: the test's own binary, called again. Tests that use it have
//
//	func TestMain(m *testing.M) { sandboxdtest.Main(); os.Exit(m.Run()) }
//
// The sandboxd has the test's view of the machine; for one in a sandbox there is
// package bubblewrap.
package sandboxdtest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log"
	"math/big"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"safebeam.dev/safebeam/pkg/sandboxd"
	"safebeam.dev/safebeam/pkg/sandboxd/process"
)

// ServerName is the name in the gateway's certificate.
const ServerName = "gateway.safebeam.test"

const (
	variable = "SAFEBEAM_TEST_SANDBOXD"
	// guestVariable is in the environment of every guest, and says whose it is.
	guestVariable = "SAFEBEAM_TEST_GUEST"
)

// Config is what a sandboxd is told.
type Config struct {
	Gateway       string
	CA            []byte
	TokenFile     string
	WritablePaths []string
	MaxProcesses  int
	MemoryLimit   uint64
	PidsLimit     uint64
	// Container, if there is one, is what it runs in. Its writable path is
	// Workspace.
	Container *Container
}

// Main becomes sandboxd if the process was started as one.
func Main() {
	encoded := os.Getenv(variable)
	if encoded == "" {
		return
	}
	os.Unsetenv(variable)
	if err := serve(encoded); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(encoded string) error {
	var c Config
	if err := json.Unmarshal([]byte(encoded), &c); err != nil {
		return err
	}
	token := sandboxd.TokenFile(c.TokenFile)
	if c.Container != nil {
		secret, err := token()
		if err != nil {
			return err
		}
		token = func() (string, error) { return secret, nil }
		if err := c.Container.enter(); err != nil {
			return fmt.Errorf("entering the container: %w", err)
		}
	}
	if err := sandboxd.Harden(c.PidsLimit); err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(c.CA)
	return sandboxd.Run(context.Background(), sandboxd.Options{
		Gateway: c.Gateway, TLS: &tls.Config{RootCAs: pool, ServerName: ServerName},
		Token:         token,
		WritablePaths: c.WritablePaths, Env: []string{"PATH=" + os.Getenv("PATH"), guestVariable + "=" + os.Getenv(guestVariable)},
		MaxProcesses: c.MaxProcesses, MemoryLimit: c.MemoryLimit, PidsLimit: c.PidsLimit,
		GuestNice: process.DefaultGuestNice, Release: "test", Log: log.New(os.Stderr, "sandboxd: ", 0),
	})
}

// Process is a running sandboxd.
type Process struct {
	*exec.Cmd
	Output *Output
	done   chan struct{}
}

// Output is what it said.
type Output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *Output) Write(p []byte) (int, error) { o.mu.Lock(); defer o.mu.Unlock(); return o.b.Write(p) }
func (o *Output) String() string              { o.mu.Lock(); defer o.mu.Unlock(); return o.b.String() }

// Done is closed when it has exited.
func (p *Process) Done() <-chan struct{} { return p.done }

// Start starts a sandboxd that ends with the test, and its guests with it.
func Start(t testing.TB, c Config) *Process {
	t.Helper()
	attributes := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if c.Container != nil {
		c.Container.make(t)
		c.WritablePaths = []string{Workspace}
		attributes.Cloneflags = namespaces
	}
	encoded, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{Cmd: exec.Command("/proc/self/exe"), Output: &Output{}, done: make(chan struct{})}
	guests := guestVariable + "=" + rand.Text()
	p.Cmd.Env = append(os.Environ(), variable+"="+string(encoded), guests)
	p.Cmd.Stderr = p.Output
	// A test that is killed leaves nothing behind. The kernel means the thread that
	// started the child, so that one stays.
	p.Cmd.SysProcAttr = attributes
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.Cmd.Start()
		started <- err
		if err == nil {
			p.Cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Process.Kill()
		<-p.done
		endGuests(t, guests)
		if strings.Contains(p.Output.String(), "DATA RACE") {
			t.Errorf("sandboxd has a data race:\n%s", p.Output)
		}
		if t.Failed() {
			t.Logf("sandboxd said:\n%s", p.Output)
		}
	})
	return p
}

// Certificates makes a CA and a serving certificate for ServerName.
func Certificates(t testing.TB) (ca []byte, serving tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{ServerName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
