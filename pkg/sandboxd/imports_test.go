// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxd_test

import (
	"os/exec"
	"strings"
	"testing"
)

// sandboxd is in every sandbox: what it links is its size and what the guest could
// turn against it.
func TestImportsAreFew(t *testing.T) {
	out, err := exec.Command("go", "list", "-tags", "grpcnotrace", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "safebeam.dev/safebeam/cmd/sandboxd").Output()
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.FieldsSeq(string(out)) {
		allowed := false
		for _, prefix := range []string{
			"safebeam.dev/safebeam/cmd/sandboxd", "safebeam.dev/safebeam/pkg/sandboxd", "safebeam.dev/safebeam/proto/sandbox/",
			"google.golang.org/grpc", "google.golang.org/protobuf", "google.golang.org/genproto/googleapis/rpc", "golang.org/x/",
		} {
			allowed = allowed || strings.HasPrefix(path, prefix)
		}
		if !allowed || path == "golang.org/x/net/trace" { // which has templates, and keeps every method of every type
			t.Errorf("%s is linked into sandboxd", path)
		}
	}
}
