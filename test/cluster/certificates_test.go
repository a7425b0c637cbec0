// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/cert"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/test/sandboxes"
)

// published is the bundle of authorities in an APIService.
func published(ctx context.Context, service string) ([]byte, error) {
	out, err := tryKubectl(ctx, "", "get", "apiservice", service, "-o", "jsonpath={.spec.caBundle}")
	if err != nil {
		return nil, errors.New(out)
	}
	return base64.StdEncoding.DecodeString(out)
}

// endpoint is where a server of ours serves with a certificate of its own.
type endpoint struct {
	service, port string

	address string
	last    *x509.Certificate
	// again: replaced by one of the same authority; successor: by one of another.
	again, successor bool
}

// look connects, trusting what is published, and notes with which certificate it
// is served.
func (e *endpoint) look(t *testing.T) error {
	t.Helper()
	bundle, err := published(t.Context(), apiServices[0])
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	if e.address == "" {
		e.address = forward(t, "service/"+e.service, e.port)
	}
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: e.service + "." + system + ".svc"}}
	connection, err := dialer.DialContext(t.Context(), "tcp", e.address)
	if untrusted := (*tls.CertificateVerificationError)(nil); errors.As(err, &untrusted) {
		t.Fatalf("%s, port %s: what is published does not verify it: %v", e.service, e.port, err)
	}
	if err != nil {
		e.address = "" // kubectl gives up forwarding when one connection breaks
		return fmt.Errorf("%s, port %s: %w", e.service, e.port, err)
	}
	defer connection.Close()
	now := connection.(*tls.Conn).ConnectionState().PeerCertificates[0]
	switch {
	case e.last == nil:
	case e.last.Equal(now):
		return nil
	case e.last.Issuer.String() == now.Issuer.String():
		e.again = true
	default:
		e.successor = true
	}
	e.last = now
	return nil
}

// withFlags restarts the API server with more flags than it is deployed with. The
// returned function restarts it without them, at the latest when the test is over.
func withFlags(t *testing.T, flags ...string) (undo func()) {
	t.Helper()
	var patch []string
	for _, flag := range flags {
		patch = append(patch, fmt.Sprintf(`{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":%q}`, flag))
	}
	restart := func(ctx context.Context, how ...string) {
		t.Helper()
		for _, command := range [][]string{how, {"rollout", "status", patience, "deployment", "safebeam-apiserver"}} {
			if out, err := tryKubectl(ctx, "", append([]string{"-n", system}, command...)...); err != nil {
				t.Error(out)
			}
		}
	}
	undone := false
	undo = func() {
		if !undone {
			undone = true
			restart(context.WithoutCancel(t.Context()), "rollout", "undo", "deployment", "safebeam-apiserver")
		}
	}
	before := serverPod(t)
	t.Cleanup(undo)
	restart(t.Context(), "patch", "deployment", "safebeam-apiserver", "--type=json", "-p", "["+strings.Join(patch, ",")+"]")
	serverUp(t, before)
	return undo
}

// asking asks the server through the kube-apiserver, on and on. The returned
// function ends that and says how often there was an answer, and an error.
func asking(t *testing.T, namespace string) (end func() (answers, failures int)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var worker sync.WaitGroup
	var answers, failures int
	worker.Go(func() {
		for ctx.Err() == nil {
			_, err := own.TightbeamV1().Turns(namespace).List(ctx, metav1.ListOptions{})
			switch {
			case err == nil:
				answers++
			case ctx.Err() != nil:
			default:
				failures++
				t.Logf("request %d: %v", answers+failures, err)
				for _, word := range []string{"x509", "certificate", "tls:"} {
					if strings.Contains(err.Error(), word) {
						t.Errorf("the kube-apiserver and our server do not trust each other: %v", err)
					}
				}
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	end = func() (int, int) {
		cancel()
		worker.Wait()
		return answers, failures
	}
	t.Cleanup(func() { end() })
	return end
}

// authorities are the certificates of a bundle, of which there is one at least.
func authorities(t *testing.T, bundle []byte) []*x509.Certificate {
	t.Helper()
	certificates, err := cert.ParseCertsPEM(bundle)
	if err != nil {
		t.Fatal(err)
	}
	return certificates
}

// shortLife is an authority's lifetime of minutes by which the newest gets a
// successor soon, and which leaves a minute at least for all to connect again
// before that signs.
func shortLife(newest *x509.Certificate) time.Duration {
	const backdated = 5 * time.Minute
	age := time.Since(newest.NotBefore) - backdated
	return min(max(5*time.Minute, (age+90*time.Second)*5/4), 10*time.Minute).Round(time.Second)
}

// Certificates run out within minutes, and authorities too: they are replaced
// while the server runs, both APIServices have what is needed to verify them, and
// neither requests through the kube-apiserver nor jobs and sandboxes notice.
func TestCertificatesAreReplacedWhileEverythingGoesOn(t *testing.T) {
	needCluster(t)
	// The controller reads the bundle at its start and now and then, which is often
	// enough where a successor does not sign for a year.
	read := func() {
		t.Helper()
		kubectl(t, "", "-n", system, "rollout", "restart", "deployment", "safebeam-controller")
		kubectl(t, "", "-n", system, "rollout", "status", patience, "deployment", "safebeam-controller")
	}
	read()
	ns, slow := namespace(t), namespace(t)
	echo(t, slow, `{delayMillis: 1000, deltas: 90}`)
	apply(t, ns, `
apiVersion: tightbeam.dev/v1
kind: TightbeamModel
metadata: {name: echo}
spec: {provider: echo, model: echo, jobs: {min: 1, max: 1}}
---
apiVersion: tightbeam.dev/v1
kind: Conversation
metadata: {name: c}
spec: {model: echo}
`)
	ended(t, say(t, ns, "x"), tightbeamv1.TurnSucceeded, 60*time.Second)
	user := sandboxUser(t)
	user.Running(t, "before", small, func(s *v1.SandboxSpec) { s.Timeout = ptr.To[int32](3600) })
	before, err := published(t.Context(), apiServices[0])
	if err != nil {
		t.Fatal(err)
	}
	old := authorities(t, before)

	undo := withFlags(t, "--serving-certificate-lifetime=1m", "--authority-lifetime="+shortLife(old[len(old)-1]).String())
	long := say(t, slow, "long")
	running(t, long)
	whole := follow(t, long)
	endpoints := []*endpoint{
		{service: "safebeam-apiserver", port: "https"},
		{service: "safebeam-gateway", port: "grpc"},
		{service: "safebeam-gateway", port: "sandboxes"},
	}
	end := asking(t, ns)

	eventually(t, 4*time.Minute, func(ctx context.Context) error {
		for _, service := range apiServices {
			now, err := published(ctx, service)
			if err != nil {
				return err
			}
			successor := false
			for _, one := range authorities(t, now) {
				successor = successor || !slices.ContainsFunc(old, one.Equal)
			}
			if !successor {
				return fmt.Errorf("%s has no successor", service)
			}
			for _, one := range old {
				if time.Now().Before(one.NotAfter.Add(-time.Minute)) && !slices.ContainsFunc(authorities(t, now), one.Equal) {
					t.Errorf("%s, until %v, is not in %s any more", one.Subject, one.NotAfter, service)
				}
			}
		}
		return nil
	})
	read()
	eventually(t, 4*time.Minute, func(context.Context) error {
		var missing []error
		for _, e := range endpoints {
			if err := e.look(t); err != nil {
				missing = append(missing, err)
				continue
			}
			if !e.again || !e.successor {
				missing = append(missing, fmt.Errorf("%s, port %s: replaced by one of the same authority: %v, of another: %v", e.service, e.port, e.again, e.successor))
			}
		}
		return errors.Join(missing...)
	})

	// The sandbox that is there stays connected; the one that comes, and the job that
	// replaces another, trust the successor.
	user.Running(t, "after", small, func(s *v1.SandboxSpec) { s.Timeout = ptr.To[int32](3600) })
	fine := func() {
		t.Helper()
		for _, name := range []string{"before", "after"} {
			eventually(t, 30*time.Second, func(ctx context.Context) error {
				output, err := user.Exec(ctx, name, sandboxes.Command{Argv: []string{"echo", "fine"}})
				if err == nil && output.Stdout != "fine\n" {
					err = fmt.Errorf("sandbox %s says %+v", name, output)
				}
				return err
			})
		}
		ended(t, say(t, ns, "x"), tightbeamv1.TurnSucceeded, 60*time.Second)
	}
	fine()
	whole()
	answers, failures := end()
	t.Logf("%d answers and %d failures while certificates were replaced", answers, failures)
	if answers < 100 || failures > answers/10 {
		t.Errorf("%d answers and %d failures while certificates were replaced", answers, failures)
	}

	// With the lifetimes of before, the authority of before signs: all of them find
	// back.
	shortLived := serverPod(t)
	undo()
	serverUp(t, shortLived)
	fine()
}
