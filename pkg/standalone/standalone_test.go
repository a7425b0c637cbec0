// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"context"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
)

func TestMain(m *testing.M) {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	os.Exit(m.Run())
}

// prepare returns options for a process in dir, on ports of its own.
func prepare(t *testing.T, dir string) *Options {
	t.Helper()
	o := NewOptions()
	o.Server.Storage.BBolt.DataDir = dir
	o.GatewayAddress = "127.0.0.1:0"
	// What jobs do is the launcher's and the job's own test.
	o.LLMJobBinary = "/bin/true"
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	o.Server.Recommended.SecureServing.Listener = listener
	if err := o.Complete(); err != nil {
		t.Fatal(err)
	}
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	return o
}

// runs starts a process and returns what it tells, and how to end it.
func runs(t *testing.T, o *Options) (Ready, func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	told, ended := make(chan Ready, 1), make(chan error, 1)
	go func() { ended <- Run(ctx, o, func(ready Ready) { told <- ready }) }()
	select {
	case ready := <-told:
		return ready, func() error { cancel(); return <-ended }
	case err := <-ended:
		cancel()
		t.Fatal(err)
		panic("not reached")
	}
}

func clients(t *testing.T, kubeconfig string) versioned.Interface {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	return versioned.NewForConfigOrDie(config)
}

func TestTheKubeconfigIsGoodAcrossRestarts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ready, stop := runs(t, prepare(t, dir))
	first, err := os.ReadFile(ready.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	model := &tightbeamv1.TightbeamModel{ObjectMeta: metav1.ObjectMeta{Name: "m"}, Spec: tightbeamv1.TightbeamModelSpec{Provider: "echo", Model: "m"}}
	if _, err := clients(t, ready.Kubeconfig).TightbeamV1().TightbeamModels("default").Create(t.Context(), model, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	again, stop := runs(t, prepare(t, dir))
	defer stop()
	second, err := os.ReadFile(again.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	// Only the port is another one, since the test's are.
	if strings.ReplaceAll(string(first), ready.Server, "") != strings.ReplaceAll(string(second), again.Server, "") {
		t.Errorf("the kubeconfig changed from\n%s\nto\n%s", first, second)
	}
	if _, err := clients(t, again.Kubeconfig).TightbeamV1().TightbeamModels("default").Get(t.Context(), "m", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}

func TestNothingInTheDataDirectoryIsOpenToOthers(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	_, stop := runs(t, prepare(t, dir))
	defer stop()
	files := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		files++
		if open := info.Mode().Perm() & 0o077; open != 0 && info.Mode().Type() != fs.ModeSymlink {
			t.Errorf("%s has mode %04o", path, info.Mode().Perm())
		}
		return nil
	})
	if err != nil || files < 5 {
		t.Errorf("looked at %d files: %v", files, err)
	}
}

func TestAPortThatIsTakenIsNamedByItsFlag(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for flag, take := range map[string]func(*Options){
		"--secure-port": func(o *Options) {
			o.Server.Recommended.SecureServing.Listener = nil
			o.Server.Recommended.SecureServing.BindPort = taken.Addr().(*net.TCPAddr).Port
		},
		"--gateway-address": func(o *Options) { o.GatewayAddress = taken.Addr().String() },
	} {
		o := prepare(t, t.TempDir())
		take(o)
		if err := Run(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), flag) || !strings.Contains(err.Error(), taken.Addr().String()) {
			t.Errorf("%v, want an error that names %s and %s", err, flag, taken.Addr())
		}
	}
}

func TestASecondProcessIsRefusedAndTheFirstGoesOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ready, stop := runs(t, prepare(t, dir))
	before, err := os.ReadFile(ready.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	err = Run(t.Context(), prepare(t, dir), nil)
	if err == nil || !strings.Contains(err.Error(), "in use") || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v, want an error that names the directory", err)
	}
	after, err := os.ReadFile(ready.Kubeconfig)
	if err != nil || string(before) != string(after) {
		t.Errorf("the refused process changed the kubeconfig: %v", err)
	}
	if _, err := clients(t, ready.Kubeconfig).TightbeamV1().Turns("").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestAnAddressThatIsTakenIsNamedAndNothingStaysBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	o := prepare(t, dir)
	o.GatewayAddress = taken.Addr().String()
	if err := Run(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), "--gateway-address") {
		t.Errorf("got %v, want an error about --gateway-address", err)
	}
	_, stop := runs(t, prepare(t, dir)) // the store was given back
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestADamagedKubeconfigIsNotReplacedInSilence(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := adminToken(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v, want an error that names the file", err)
	}
	// A token that could be guessed is not taken over.
	if err := writeKubeconfig(file, "https://127.0.0.1:1", nil, "short"); err != nil {
		t.Fatal(err)
	}
	if token, err := adminToken(file); err != nil || len(token) < minTokenLength {
		t.Errorf("got %q, %v", token, err)
	}
}
