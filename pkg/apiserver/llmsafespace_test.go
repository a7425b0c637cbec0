// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"safebeam.dev/safebeam/pkg/apiserver/servertest"
)

// apply applies a manifest on the server's side, as kubectl does.
func apply(t *testing.T, s *servertest.Server, manifest []byte, namespace, plural, name string) rest.Result {
	t.Helper()
	path := "/apis/llmsafespace.dev/v1/"
	if namespace != "" {
		path += "namespaces/" + namespace + "/"
	}
	return s.REST().Patch("application/apply-patch+yaml").AbsPath(path+plural+"/"+name).
		Param("fieldManager", "kubectl").Body(manifest).Do(t.Context())
}

// The manifests of LLMSafeSpace's README stay as they are.
func TestSeedManifestsApplyUnchanged(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Settings{})
	for _, tc := range []struct{ file, namespace, plural, name string }{
		{"runtimeenvironment-python.yaml", "", "runtimeenvironments", "python"},
		{"sandbox.yaml", "agent-sandboxes", "sandboxes", "sandbox-12345"},
		{"warmpool.yaml", "warm-pools", "warmpools", "python-pool"},
		{"warmpod.yaml", "warm-pools", "warmpods", "python-pool-abc123"},
	} {
		manifest, err := os.ReadFile(filepath.Join("../../artifacts/examples", tc.file))
		if err != nil {
			t.Fatal(err)
		}
		for _, status := range []int{http.StatusCreated, http.StatusOK} {
			result := apply(t, s, manifest, tc.namespace, tc.plural, tc.name)
			var code int
			if err := result.StatusCode(&code).Error(); err != nil || code != status {
				t.Errorf("%s: %d, %v", tc.file, code, err)
			}
		}
		body, _ := s.REST().Get().AbsPath("/apis/llmsafespace.dev/v1/").Param("x", "y").Do(t.Context()).Raw()
		if !strings.Contains(string(body), tc.plural) {
			t.Errorf("discovery lacks %s", tc.plural)
		}
	}
}
