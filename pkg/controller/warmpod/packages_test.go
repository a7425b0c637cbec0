// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpod

import (
	"archive/zip"
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
)

// wheel is a Python package with one module, whose value is 42.
func wheel(t *testing.T, name string) []byte {
	t.Helper()
	var file bytes.Buffer
	archive := zip.NewWriter(&file)
	info := name + "-1.0.dist-info/"
	for _, f := range []struct{ path, content string }{
		{name + ".py", "value = 42\n"},
		{info + "METADATA", "Metadata-Version: 2.1\nName: " + name + "\nVersion: 1.0\n"},
		{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
		{info + "RECORD", name + ".py,,\n" + info + "METADATA,,\n" + info + "WHEEL,,\n" + info + "RECORD,,\n"},
	} {
		w, err := archive.Create(f.path)
		if err == nil {
			_, err = w.Write([]byte(f.content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// index serves one package as PyPI does, and counts how often it was fetched.
func index(t *testing.T, name string) (url string, fetched *atomic.Int32) {
	t.Helper()
	fetched = &atomic.Int32{}
	file, data := name+"-1.0-py3-none-any.whl", wheel(t, name)
	mux := http.NewServeMux()
	mux.HandleFunc("/simple/"+name+"/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!DOCTYPE html><html><body><a href="/files/%s">%s</a></body></html>`, file, file)
	})
	mux.HandleFunc("/files/"+file, func(w http.ResponseWriter, _ *http.Request) {
		fetched.Add(1)
		_, _ = w.Write(data)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL + "/simple", fetched
}

// python is a pod whose pip knows the index and nothing else of this machine.
func python(t *testing.T, url string) *sandboxes.Sandbox {
	t.Helper()
	if out, err := exec.Command("python3", "-m", "pip", "--version").CombinedOutput(); err != nil {
		t.Skipf("python3 has no pip here (apt-get install python3-pip): %s", bytes.TrimSpace(out))
	}
	connection, workspace := pod(t)
	if err := connection.Configure(t.Context(), sandboxes.Configuration{SandboxUID: "test", Env: []sandboxes.EnvVar{
		{Name: "HOME", Value: workspace}, {Name: "PIP_INDEX_URL", Value: url}, {Name: "PIP_CONFIG_FILE", Value: "/dev/null"},
	}}); err != nil {
		t.Fatal(err)
	}
	return connection
}

func packages(t *testing.T, names ...string) []step {
	t.Helper()
	environment := &v1.RuntimeEnvironment{Spec: v1.RuntimeEnvironmentSpec{Language: "python", PackageManager: "pip"}}
	list, err := steps(&v1.WarmPoolSpec{PreloadPackages: names}, environment, nil, shell)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestAPackageOfAnIndexIsThereForTheSandbox(t *testing.T) {
	t.Parallel()
	url, fetched := index(t, "preloaded")
	connection := python(t, url)
	if err := preload(t.Context(), connection, packages(t, "preloaded>=1.0")); err != nil {
		t.Fatal(err)
	}
	if n := fetched.Load(); n != 1 {
		t.Errorf("it was fetched %d times", n)
	}
	var output tail
	exit, err := connection.Run(t.Context(), sandboxes.Command{ID: "use", Argv: []string{"python3", "-c", "import preloaded; print(preloaded.value)"}},
		sandboxes.Streams{Output: func(chunk sandboxes.Chunk) error { output.write(chunk.Data); return nil }})
	if err != nil || exit.Code != 0 || output.String() != "42" {
		t.Errorf("got %+v, %v: %s", exit, err, &output)
	}
}

func TestAPackageThatIsNotThereFailsThePreloadWithWhatPipSays(t *testing.T) {
	t.Parallel()
	url, fetched := index(t, "preloaded")
	connection := python(t, url)
	for missing, says := range map[string]string{
		"nowhere":        "No matching distribution found for nowhere",
		"preloaded>=2.0": "No matching distribution found for preloaded>=2.0",
	} {
		err := preload(t.Context(), connection, packages(t, missing))
		if err == nil || !strings.HasPrefix(err.Error(), "preload of packages: exit code 1: ") || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v", missing, err)
		}
	}
	if n := fetched.Load(); n != 0 {
		t.Errorf("something was fetched %d times", n)
	}
}
