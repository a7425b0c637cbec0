// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package certificates

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/storage"
	testingclock "k8s.io/utils/clock/testing"
)

// memory is a store of records that keeps the one law that counts here: who
// changes a record changes the one that is there.
type memory struct {
	storage.Interface
	mu      sync.Mutex
	records map[string]*Record
}

func (m *memory) GuaranteedUpdate(_ context.Context, key string, _ runtime.Object, _ bool, _ *storage.Preconditions, update storage.UpdateFunc, _ runtime.Object) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	record := &Record{}
	if known := m.records[key]; known != nil {
		record = known.DeepCopyObject().(*Record)
	}
	changed, _, err := update(record, storage.ResponseMeta{})
	if err == nil {
		m.records[key] = changed.(*Record)
	}
	return err
}

func records() Records { return Records{Storage: &memory{records: map[string]*Record{}}} }

var epoch = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func authority(t *testing.T, records Records, clock *testingclock.FakeClock) *Authority {
	t.Helper()
	a, err := NewAuthority(t.Context(), records, "test", DefaultLifetimes(), clock)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// trusts reports whether a client with that bundle takes the certificate.
func trusts(bundle []byte, serving *Serving, host string, now time.Time) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	cert, _ := serving.GetCertificate(nil)
	_, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: now})
	return err
}

func TestAServingCertificateIsGoodForItsHostsAlone(t *testing.T) {
	t.Parallel()
	a := authority(t, records(), testingclock.NewFakeClock(epoch))
	serving, err := a.Issue("server", "localhost", "127.0.0.1", "::1", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	for host, good := range map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true, "example.com": false, "127.0.0.2": false} {
		if err := trusts(a.Bundle(), serving, host, epoch); (err == nil) != good {
			t.Errorf("%s: %v", host, err)
		}
	}
	cert, key := serving.CurrentCertKeyContent()
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		t.Error(err)
	}
}

func TestTheAuthoritySurvivesARestartAndIsSharedByServers(t *testing.T) {
	t.Parallel()
	store, clock := records(), testingclock.NewFakeClock(epoch)
	first, second := authority(t, store, clock), authority(t, store, clock)
	serving, err := second.Issue("server", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	if err := trusts(first.Bundle(), serving, "localhost", epoch); err != nil {
		t.Error(err)
	}
	other := authority(t, records(), clock)
	if err := trusts(other.Bundle(), serving, "localhost", epoch); err == nil {
		t.Error("an authority of another store is trusted")
	}
}

func TestNobodyWhoReadsTheBundleMeetsACertificateTheyDoNotTrust(t *testing.T) {
	t.Parallel()
	store, clock := records(), testingclock.NewFakeClock(epoch)
	a := authority(t, store, clock)
	serving, err := a.Issue("server", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	replaced := 0
	serving.AddListener(listener(func() { replaced++ }))
	var published [][]byte
	a.OnBundle(func(bundle []byte) { published = append(published, bundle) })

	// Clients use a bundle that they read up to 360 days before, over 25 years.
	const step = 20 * 24 * time.Hour
	read := [][]byte{a.Bundle()}
	for clock.Now().Before(epoch.AddDate(25, 0, 0)) {
		clock.Step(step)
		if err := a.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := trusts(read[0], serving, "localhost", clock.Now()); err != nil {
			t.Fatalf("%s: %v", clock.Now().Format(time.DateOnly), err)
		}
		if read = append(read, a.Bundle()); len(read) > 360/20 {
			read = read[1:]
		}
	}
	if replaced < 100 {
		t.Errorf("the serving certificate was replaced %d times in 25 years", replaced)
	}
	if len(published) < 5 {
		t.Errorf("the bundle changed %d times in 25 years, want successors to come and predecessors to go", len(published))
	}
}

type listener func()

func (l listener) Enqueue() { l() }

func TestADamagedRecordIsNamed(t *testing.T) {
	t.Parallel()
	store, clock := records(), testingclock.NewFakeClock(epoch)
	authority(t, store, clock)
	other := records()
	authority(t, other, clock)
	stolen := other.Storage.(*memory).records[ResourcePrefix+"/test"].Data
	for name, damage := range map[string]func(*Record){
		"no key":        func(r *Record) { delete(r.Data, keysKey) },
		"another's key": func(r *Record) { r.Data[keysKey] = stolen[keysKey] },
		"no PEM":        func(r *Record) { r.Data[certificatesKey] = []byte("x") },
	} {
		err := store.Update(t.Context(), "test", func(r *Record) (bool, error) { damage(r); return true, nil })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := NewAuthority(t.Context(), store, "test", DefaultLifetimes(), clock); err == nil {
			t.Errorf("%s: accepted", name)
		}
		store = records()
		authority(t, store, clock)
	}
}

func TestARunningServerChangesItsCertificate(t *testing.T) {
	t.Parallel()
	clock := testingclock.NewFakeClock(time.Now())
	a := authority(t, records(), clock)
	serving, err := a.Issue("server", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	server, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: serving.GetCertificate})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go func(conn net.Conn) { _ = conn.(*tls.Conn).Handshake() }(conn)
		}
	}()
	serial := func() string {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(a.Bundle())
		conn, err := tls.Dial("tcp", server.Addr().String(), &tls.Config{RootCAs: roots})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	first := serial()
	// Real time does not go on, so the one that replaces it is good now as well.
	a.mu.Lock()
	err = a.renew(serving)
	a.mu.Unlock()
	if err != nil || serial() != first {
		t.Errorf("replaced before its time: %v", err)
	}
	serving.mu.Lock()
	serving.leaf.NotAfter = clock.Now().Add(a.lifetimes.renewBefore() - time.Minute)
	serving.mu.Unlock()
	if err := a.refresh(t.Context()); err != nil || serial() == first {
		t.Errorf("not replaced: %v", err)
	}
}
