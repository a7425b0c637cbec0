// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"testing"
	"time"

	"k8s.io/client-go/util/cert"
)

// The server keeps its authority in its own APIService, by name: an APIService
// that has lost it, or has another one, gets it back within seconds, and
// nothing but verification by it makes the API available.
func TestServerPutsItsAuthorityBack(t *testing.T) {
	needCluster(t)
	field := func(service, field string) string {
		return kubectl(t, "", "get", "apiservice", service, "-o", "jsonpath={.spec."+field+"}")
	}
	before := field(apiServices[0], "caBundle")
	authority(t, before)
	for _, service := range apiServices {
		if skip := field(service, "insecureSkipTLSVerify"); skip != "" && skip != "false" {
			t.Errorf("insecureSkipTLSVerify of %s is %s", service, skip)
		}
		foreign, _, err := cert.GenerateSelfSignedCertKey("somebody-else", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		kubectl(t, "", "patch", "apiservice", service, "--type=merge", "-p", `{"spec":{"caBundle":"`+base64.StdEncoding.EncodeToString(foreign)+`"}}`)
		eventually(t, 40*time.Second, func(context.Context) error {
			if field(service, "caBundle") != before {
				return fmt.Errorf("%s still has the other authority", service)
			}
			return nil
		})
		kubectl(t, "", "wait", "--for=condition=Available", patience, "apiservice", service)
	}
	kubectl(t, "", "get", "turns", "-A")
}

// authority checks that a bundle is certificates of authorities that are good
// for years.
func authority(t *testing.T, bundle string) {
	t.Helper()
	rest, err := base64.StdEncoding.DecodeString(bundle)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for block, rest := pem.Decode(rest); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if n++; !certificate.IsCA || time.Until(certificate.NotAfter) < 365*24*time.Hour {
			t.Errorf("%s: CA %v, until %v", certificate.Subject, certificate.IsCA, certificate.NotAfter)
		}
	}
	if n == 0 {
		t.Error("the bundle is empty")
	}
}
