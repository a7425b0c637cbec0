// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	clientset "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
)

// What all tests use once TestMain has found a cluster.
var (
	kubeconfig string
	root       string // of the source
	// local: the cluster is hack/cluster, whose processes can be looked at.
	local  bool
	config *rest.Config
	kube   clientset.Interface
	own    versioned.Interface
)

func TestMain(m *testing.M) {
	if os.Getenv("E2E_KUBECONFIG") == "" && os.Getenv("E2E_CLUSTER") == "" {
		fmt.Println("SKIP: neither E2E_KUBECONFIG nor E2E_CLUSTER is set; the tests that need no cluster run")
		os.Exit(m.Run())
	}
	if err := setUp(); err != nil {
		fmt.Fprintln(os.Stderr, "setting up:", err)
		os.Exit(1)
	}
	code := m.Run()
	if pluginDir != "" {
		os.RemoveAll(pluginDir)
	}
	os.Exit(code)
}

// apiServices are those of artifacts/deploy.
var apiServices = []string{"v1.tightbeam.dev", "v1.llmsafespace.dev"}

// needCluster skips a test that needs one.
func needCluster(t *testing.T) {
	t.Helper()
	if kubeconfig == "" {
		t.Skip("needs a cluster: set E2E_KUBECONFIG or E2E_CLUSTER=1")
	}
}

func setUp() error {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return err
	}
	root = string(bytes.TrimSpace(out))
	kubeconfig = os.Getenv("E2E_KUBECONFIG")
	if kubeconfig == "" {
		if err := bootLocal(); err != nil {
			return err
		}
	}
	if config, err = clientcmd.BuildConfigFromFlags("", kubeconfig); err != nil {
		return err
	}
	config.QPS = -1
	if kube, err = clientset.NewForConfig(config); err != nil {
		return err
	}
	if own, err = versioned.NewForConfig(config); err != nil {
		return err
	}
	if err := run("kubectl", "apply", "-k", filepath.Join(root, "artifacts/deploy")); err != nil {
		return err
	}
	for _, deployment := range []string{"safebeam-apiserver", "safebeam-controller"} {
		if err := run("kubectl", "-n", system, "rollout", "status", patience, "deployment", deployment); err != nil {
			return err
		}
	}
	return run("kubectl", append([]string{"wait", "--for=condition=Available", patience, "apiservice"}, apiServices...)...)
}

// bootLocal starts hack/cluster, with the images that `make images` has made.
func bootLocal() error {
	cluster := filepath.Join(root, "hack/cluster/cluster")
	up := exec.Command(cluster, "up")
	up.Stderr = os.Stderr
	out, err := up.Output()
	if err != nil {
		return fmt.Errorf("hack/cluster: %w", err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "export KUBECONFIG="); ok {
			kubeconfig, local = value, true
		}
		if value, ok := strings.CutPrefix(lines.Text(), `export PATH="$PATH:`); ok {
			if err := os.Setenv("PATH", os.Getenv("PATH")+":"+strings.TrimSuffix(value, `"`)); err != nil {
				return err
			}
		}
	}
	tarballs, err := filepath.Glob(filepath.Join(root, "_output/images/*.tar"))
	if err != nil {
		return err
	}
	if len(tarballs) == 0 {
		return fmt.Errorf("there are no images in _output/images: run make images")
	}
	for _, tarball := range tarballs {
		if err := run(cluster, "load-image", tarball); err != nil {
			return err
		}
	}
	return nil
}

// run runs a command of the set-up.
func run(name string, args ...string) error {
	command := exec.Command(name, args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
