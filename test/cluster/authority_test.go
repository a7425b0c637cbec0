// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/base64"
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
	var newest time.Time
	bundle, err := base64.StdEncoding.DecodeString(before)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range authorities(t, bundle) {
		if !one.IsCA {
			t.Errorf("%s is no authority", one.Subject)
		}
		newest = one.NotAfter
	}
	if time.Until(newest) < 365*24*time.Hour {
		t.Errorf("the newest authority ends %v", newest)
	}
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
