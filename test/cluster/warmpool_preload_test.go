// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/test/sandboxes"
)

// What a pool preloads comes from an index that its own network rules allow, and
// from no other place: the same pool without them gets nothing.
func TestAPoolPreloadsFromTheIndexThatItsNetworkRulesAllow(t *testing.T) {
	needCluster(t)
	if !local {
		t.Skip("loads an image of its own into the node: on hack/cluster only")
	}
	t.Parallel()
	admin := sandboxUser(t)
	index := probe(t, admin.Namespace, "index", func(pod *corev1.Pod) {
		pod.Spec.Containers[0].Image = "localhost/safebeam-runtime-python:3.11"
		pod.Spec.Containers[0].Command = []string{"python3", "-c", packageIndex}
	})
	runtime := pythonOf(t, admin.Namespace, index.Status.PodIP)
	open := &v1.NetworkAccess{Egress: []v1.NetworkRule{{CIDR: index.Status.PodIP + "/32", Ports: []v1.NetworkPort{{Port: 8080, Protocol: corev1.ProtocolTCP}}}}}
	preloading := func(s *v1.WarmPoolSpec) { s.Runtime, s.PreloadPackages = runtime, []string{"preloaded>=1.0"} }

	closed := sandboxUser(t)
	pool := &v1.WarmPool{ObjectMeta: metav1.ObjectMeta{Name: "closed"}, Spec: v1.WarmPoolSpec{MinSize: 1}}
	preloading(&pool.Spec)
	if _, err := closed.Client.LlmsafespaceV1().WarmPools(closed.Namespace).Create(t.Context(), pool, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	addPool(t, admin, admin.Namespace, 1, preloading, func(s *v1.WarmPoolSpec) { s.NetworkAccess = open })

	asked := func(s *v1.SandboxSpec) { s.Runtime, s.NetworkAccess = runtime, open }
	sandbox := admin.Create(t, "one", small, asked)
	if sandbox.Status.Phase != v1.SandboxRunning || sandbox.Status.WarmPodRef == nil {
		t.Fatalf("the answer says %+v", sandbox.Status)
	}
	out, err := admin.Exec(t.Context(), "one", sandboxes.Command{Argv: []string{"python3", "-c", "import preloaded; print(preloaded.value)"}})
	if err != nil || out.Stdout != "42\n" {
		t.Errorf("what was preloaded: %+v, %v", out, err)
	}

	// Nobody gets a wider network than they name.
	full(t, admin, 1)
	narrow := admin.Create(t, "narrow", small, func(s *v1.SandboxSpec) { s.Runtime = runtime })
	bound := meta.FindStatusCondition(narrow.Status.Conditions, v1.SandboxWarmPodBound)
	if bound == nil || bound.Reason != "NoFit" || !strings.Contains(bound.Message, "spec.networkAccess") {
		t.Errorf("a sandbox without network access: %+v", bound)
	}

	eventually(t, 2*time.Minute, func(ctx context.Context) error {
		now, err := closed.Client.LlmsafespaceV1().WarmPools(closed.Namespace).Get(ctx, "closed", metav1.GetOptions{})
		if err != nil {
			return err
		}
		ready := meta.FindStatusCondition(now.Status.Conditions, v1.WarmPoolReady)
		if ready == nil || ready.Status != metav1.ConditionFalse || ready.Reason != "PreloadFailed" || !strings.Contains(ready.Message, "preload of packages: exit code 1") {
			return fmt.Errorf("the pool without network access says %+v", ready)
		}
		return nil
	})
}

// packageIndex serves one Python package, as a directory of a web server.
const packageIndex = `
import http.server, os, zipfile
os.makedirs('/tmp/simple/preloaded')
os.chdir('/tmp')
info = 'preloaded-1.0.dist-info/'
with zipfile.ZipFile('simple/preloaded/preloaded-1.0-py3-none-any.whl', 'w') as wheel:
    wheel.writestr('preloaded.py', 'value = 42\n')
    wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\nName: preloaded\nVersion: 1.0\n')
    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
    wheel.writestr(info + 'RECORD', 'preloaded.py,,\n' + ''.join(info + f + ',,\n' for f in ('METADATA', 'WHEEL', 'RECORD')))
http.server.ThreadingHTTPServer(('', 8080), http.server.SimpleHTTPRequestHandler).serve_forever()
`

// pythonOf makes a RuntimeEnvironment of the installed Python, whose pip.conf names
// that index, and returns its name.
func pythonOf(t *testing.T, namespace, address string) string {
	t.Helper()
	name, image := "indexed-"+namespace, "localhost/indexed-python:"+namespace
	tarball := filepath.Join(t.TempDir(), "image.tar")
	pipConf := fmt.Sprintf("[global]\nindex-url = http://%s:8080/simple\ntrusted-host = %s\ntimeout = 5\n", address, address)
	if err := withFile(filepath.Join(root, "_output/images/safebeam-runtime-python.tar"), tarball, image, "etc/pip.conf", pipConf); err != nil {
		t.Fatal(err)
	}
	if err := run(filepath.Join(root, "hack/cluster/cluster"), "load-image", tarball); err != nil {
		t.Fatal(err)
	}
	if _, err := own.LlmsafespaceV1().RuntimeEnvironments().Create(t.Context(), &v1.RuntimeEnvironment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1.RuntimeEnvironmentSpec{Image: image, Language: "python", Version: "0.1", PackageManager: "pip"},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = own.LlmsafespaceV1().RuntimeEnvironments().Delete(context.Background(), name, metav1.DeleteOptions{})
	})
	return name
}
