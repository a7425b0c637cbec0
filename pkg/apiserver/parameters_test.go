// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"testing"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/apiserver"
	"safebeam.dev/safebeam/pkg/apiserver/servertest"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned/scheme"
)

func TestOpenAPIHasTheParametersOfSubresources(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Settings{})
	body, err := s.REST().Get().AbsPath("/openapi/v3/apis/llmsafespace.dev/v1").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	type parameter struct {
		Name, In, Description string
		Schema                struct{ Type string }
	}
	var document struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(body, &document); err != nil {
		t.Fatal(err)
	}
	const namespaced = "/apis/llmsafespace.dev/v1/namespaces/{namespace}/"
	for path, want := range map[string]map[string]string{
		"sandboxes/{name}/exec":         {"command": "string", "stdin": "boolean", "stdout": "boolean", "stderr": "boolean", "tty": "boolean"},
		"sandboxes/{name}/files/{path}": {"mode": "string", "upload": "string", "directory": "boolean", "recursive": "boolean", "limit": "integer", "continue": "string"},
		"executions/{name}/log":         {"follow": "boolean", "after": "integer", "stream": "string"},
	} {
		described := document.Paths[namespaced+path]
		if described == nil {
			t.Errorf("%s is not there; there are %v", path, slices.Sorted(maps.Keys(document.Paths)))
			continue
		}
		parameters := map[string]parameter{}
		add := func(raw json.RawMessage) {
			var list []parameter
			if err := json.Unmarshal(raw, &list); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			for _, p := range list {
				parameters[p.Name] = p
			}
		}
		add(described["parameters"])
		for _, method := range []string{http.MethodGet, http.MethodPut} {
			var operation struct{ Parameters json.RawMessage }
			if raw := described[map[string]string{http.MethodGet: "get", http.MethodPut: "put"}[method]]; raw != nil {
				if err := json.Unmarshal(raw, &operation); err != nil {
					t.Fatal(err)
				}
				if operation.Parameters != nil {
					add(operation.Parameters)
				}
			}
		}
		for name, kind := range want {
			if p := parameters[name]; p.In != "query" || p.Schema.Type != kind || p.Description == "" {
				t.Errorf("%s: the parameter %s is %+v, want a %s in the query", path, name, p, kind)
			}
		}
	}
}

// What clients encode is what the server, and admission with it, understands.
func TestParametersOfSubresourcesAreThoseOfClients(t *testing.T) {
	t.Parallel()
	for _, options := range []runtime.Object{
		&llmsafespacev1.SandboxExecOptions{Stdin: true, Stdout: true, Stderr: true, TTY: true, Command: []string{"sh", "-c", "a b"}},
		&llmsafespacev1.SandboxExecOptions{Stdout: true, Command: []string{"true"}},
		&llmsafespacev1.SandboxFilesOptions{Path: "/workspace/a", Mode: "0644", Upload: "u", Directory: true, Recursive: true, Limit: 7, Continue: "c"},
		&llmsafespacev1.ExecutionLogOptions{Follow: true, After: 12, Stream: string(llmsafespacev1.Stderr)},
	} {
		query, err := scheme.ParameterCodec.EncodeParameters(options, llmsafespacev1.SchemeGroupVersion)
		if err != nil {
			t.Errorf("%T: %v", options, err)
			continue
		}
		decoded := options.DeepCopyObject()
		switch o := decoded.(type) {
		case *llmsafespacev1.SandboxExecOptions:
			*o = llmsafespacev1.SandboxExecOptions{}
		case *llmsafespacev1.SandboxFilesOptions:
			*o = llmsafespacev1.SandboxFilesOptions{}
		case *llmsafespacev1.ExecutionLogOptions:
			*o = llmsafespacev1.ExecutionLogOptions{}
		}
		if err := apiserver.ParameterCodec.DecodeParameters(query, llmsafespacev1.SchemeGroupVersion, decoded); err != nil || !apiequality.Semantic.DeepEqual(decoded, options) {
			t.Errorf("%v became %+v, %v", query, decoded, err)
		}
	}
}
