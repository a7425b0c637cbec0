// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package certificates

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"sync"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

// backdate lets peers whose clock is a little behind accept what was signed just
// now.
const backdate = 5 * time.Minute

// pair is a certificate and its key.
type pair struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// Authority signs. It is safe for concurrent use.
type Authority struct {
	records   Records
	clock     clock.WithTicker
	name      string
	lifetimes Lifetimes

	mu       sync.Mutex
	pairs    []pair // oldest first
	servings []*Serving
	bundled  []func(bundle []byte)
}

// NewAuthority loads the authority of that name from the store and makes it
// if it is not there yet.
func NewAuthority(ctx context.Context, records Records, name string, lifetimes Lifetimes, clock clock.WithTicker) (*Authority, error) {
	a := &Authority{records: records, clock: clock, name: name, lifetimes: lifetimes}
	if err := a.refresh(ctx); err != nil {
		return nil, err
	}
	return a, nil
}

// Bundle has, as PEM, the authorities that clients should trust.
func (a *Authority) Bundle() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return bundle(a.pairs)
}

// OnBundle has f called with the bundle, now and whenever it changes. f may
// not call back.
func (a *Authority) OnBundle(f func(bundle []byte)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bundled = append(a.bundled, f)
	f(bundle(a.pairs))
}

// Run replaces what is about to run out until ctx ends.
func (a *Authority) Run(ctx context.Context) error {
	interval := a.lifetimes.checkInterval()
	ticker := a.clock.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
		if err := a.refresh(ctx); err != nil {
			klog.FromContext(ctx).Error(err, "Certificates not looked after, will try again", "after", interval)
		}
	}
}

func (a *Authority) refresh(ctx context.Context) error {
	pairs, err := a.load(ctx)
	if err != nil {
		return fmt.Errorf("certificate authority %q: %w", a.name, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	changed := !bytes.Equal(bundle(pairs), bundle(a.pairs))
	a.pairs = pairs
	if changed {
		for _, f := range a.bundled {
			f(bundle(pairs))
		}
	}
	for _, serving := range a.servings {
		if err := a.renew(serving); err != nil {
			return err
		}
	}
	return nil
}

// renew is called with the lock held.
func (a *Authority) renew(serving *Serving) error {
	now := a.clock.Now()
	return serving.refresh(now, a.lifetimes, a.lifetimes.signer(now, a.pairs))
}

// load reads the authorities, and changes them in the store if it is time to.
func (a *Authority) load(ctx context.Context) ([]pair, error) {
	var pairs []pair
	err := a.records.Update(ctx, a.name, func(record *Record) (bool, error) {
		var err error
		if pairs, err = decode(record); err != nil {
			return false, err
		}
		kept, renew := a.lifetimes.plan(a.clock.Now(), pairs)
		if !renew && len(kept) == len(pairs) {
			return false, nil
		}
		pairs = kept
		if renew {
			successor, err := newAuthority(a.clock.Now(), a.name, a.lifetimes.Authority)
			if err != nil {
				return false, err
			}
			pairs = append(pairs, successor)
		}
		return true, encode(record, pairs)
	})
	return pairs, err
}

func newAuthority(now time.Time, name string, lifetime time.Duration) (pair, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: fmt.Sprintf("%s@%d", name, now.Unix()), Organization: []string{"safebeam.dev"}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(lifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	return sign(template, nil)
}

// sign makes a key and a certificate for it; without a parent it signs itself.
func sign(template *x509.Certificate, parent *pair) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return pair{}, err
	}
	if parent == nil {
		parent = &pair{certificate: template, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.certificate, key.Public(), parent.key)
	if err != nil {
		return pair{}, err
	}
	certificate, err := x509.ParseCertificate(der)
	return pair{certificate: certificate, key: key}, err
}

func bundle(pairs []pair) []byte {
	var out []byte
	for _, p := range pairs {
		out = append(out, pemCertificate(p.certificate)...)
	}
	return out
}

func pemCertificate(certificate *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
}
