// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package certificates

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/server/dynamiccertificates"
)

// Serving is the certificate of one server. It is replaced while the server
// runs.
type Serving struct {
	name  string
	hosts []string

	mu        sync.RWMutex
	issuer    *x509.Certificate
	leaf      *x509.Certificate
	cert, key []byte
	tls       *tls.Certificate
	listeners []dynamiccertificates.Listener
}

var _ dynamiccertificates.CertKeyContentProvider = &Serving{}

// Issue signs a serving certificate for hosts, names or addresses, and keeps
// it valid while the authority runs.
func (a *Authority) Issue(name string, hosts ...string) (*Serving, error) {
	hosts = slices.Clone(hosts)
	slices.Sort(hosts)
	s := &Serving{name: name, hosts: slices.Compact(hosts)}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.renew(s); err != nil {
		return nil, err
	}
	a.servings = append(a.servings, s)
	return s, nil
}

// refresh replaces the certificate if it is about to run out or was signed by
// another authority than is wanted now.
func (s *Serving) refresh(now time.Time, lifetimes Lifetimes, by pair) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaf != nil && s.issuer.Equal(by.certificate) && now.Before(s.leaf.NotAfter.Add(-lifetimes.renewBefore())) {
		return nil
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: s.name, Organization: []string{"safebeam.dev"}},
		NotBefore:   now.Add(-backdate),
		NotAfter:    now.Add(lifetimes.Serving),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if template.NotAfter.After(by.certificate.NotAfter) {
		template.NotAfter = by.certificate.NotAfter
	}
	for _, host := range s.hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	signed, err := sign(template, &by)
	if err != nil {
		return fmt.Errorf("signing the serving certificate %q: %w", s.name, err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(signed.key)
	if err != nil {
		return err
	}
	s.issuer, s.leaf = by.certificate, signed.certificate
	s.cert = pemCertificate(signed.certificate)
	s.key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	s.tls = &tls.Certificate{Certificate: [][]byte{signed.certificate.Raw}, PrivateKey: signed.key, Leaf: signed.certificate}
	for _, listener := range s.listeners {
		listener.Enqueue()
	}
	return nil
}

// Name names the certificate in messages.
func (s *Serving) Name() string { return s.name }

// CurrentCertKeyContent is the certificate and its key, as PEM.
func (s *Serving) CurrentCertKeyContent() (cert, key []byte) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.cert, s.key
}

// AddListener has listener told of every replacement.
func (s *Serving) AddListener(listener dynamiccertificates.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, listener)
}

// GetCertificate is for tls.Config.
func (s *Serving) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.tls, nil
}
