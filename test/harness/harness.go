// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package harness starts the real programs for tests: a standalone server that
// can be killed and started again in the same place, with its jobs.
package harness

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
)

// Namespace is where the tests' objects are.
const Namespace = "default"

// Main builds the programs and runs the tests of a package:
//
//	func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }
func Main(m *testing.M) int {
	defer func() {
		if programs != "" {
			os.RemoveAll(programs)
		}
	}()
	return m.Run()
}

var (
	programs string
	build    = sync.OnceValue(func() error {
		var err error
		if programs, err = os.MkdirTemp("", "safebeam-bin-"); err != nil {
			return err
		}
		root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
		if err != nil {
			return err
		}
		build := exec.Command("go", "build", "-o", programs+"/", "./cmd/safebeam", "./cmd/safebeam-llm-job")
		build.Dir = string(bytes.TrimSpace(root))
		if output, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building the programs: %w\n%s", err, output)
		}
		// It has to run where there is no library.
		sandboxd := exec.Command("go", "build", "-o", programs+"/", "./cmd/sandboxd")
		sandboxd.Dir, sandboxd.Env = build.Dir, append(os.Environ(), "CGO_ENABLED=0")
		if output, err := sandboxd.CombinedOutput(); err != nil {
			return fmt.Errorf("building sandboxd: %w\n%s", err, output)
		}
		for _, plugin := range []string{"kubectl-create-turn", "kubectl-create-conversation", "kubectl-chat", "kubectl-sandbox"} {
			if err := os.Symlink("safebeam", filepath.Join(programs, plugin)); err != nil {
				return err
			}
		}
		return nil
	})
)

// Programs returns the directory with the programs and kubectl's plugins.
func Programs(t testing.TB) string {
	t.Helper()
	if err := build(); err != nil {
		t.Fatal(err)
	}
	return programs
}

// Server is a standalone server that can be killed and started again in the
// same place.
type Server struct {
	// Dir has everything that the server keeps: data, secrets, its log.
	Dir        string
	Kubeconfig string
	Config     *rest.Config
	Client     versioned.Interface
	// Process is the one that runs now.
	Process *exec.Cmd

	t         testing.TB
	arguments []string
	gateway   string
	log       string
	pid       atomic.Int64 // of Process, for those that look while it is started anew
	exited    chan struct{}
}

// Start starts a server in a directory of its own, with more arguments than
// the usual, and ends it with the test.
func Start(t testing.TB, arguments ...string) *Server {
	t.Helper()
	return StartIn(t, t.TempDir(), arguments...)
}

// StartIn starts a server in dir.
func StartIn(t testing.TB, dir string, arguments ...string) *Server {
	t.Helper()
	Programs(t)
	_, port, _ := net.SplitHostPort(FreeAddress(t))
	s := &Server{
		t: t, Dir: dir, Kubeconfig: filepath.Join(dir, "kubeconfig"), log: filepath.Join(dir, "server.log"), gateway: FreeAddress(t),
	}
	s.arguments = append([]string{
		"standalone", "--data-dir", s.DataDir(), "--secrets-dir", s.SecretsDir(),
		"--kubeconfig", s.Kubeconfig, "--secure-port", port, "--gateway-address", s.gateway,
		"--job-grace", "3s",
	}, arguments...)
	s.Restart()
	t.Cleanup(s.end)
	return s
}

// DataDir is the server's data directory, SecretsDir that of the secrets.
func (s *Server) DataDir() string    { return filepath.Join(s.Dir, "data") }
func (s *Server) SecretsDir() string { return filepath.Join(s.Dir, "secrets") }

// FreeAddress returns a loopback address that nobody listens on.
func FreeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// Restart starts the process, which must not be running, and waits until it is
// ready.
func (s *Server) Restart() {
	s.t.Helper()
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.Process = exec.Command(filepath.Join(programs, "safebeam"), s.arguments...)
	s.Process.Stdout, s.Process.Stderr = log, log
	if err := s.Process.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.pid.Store(int64(s.Process.Process.Pid))
	process, exited := s.Process, make(chan struct{})
	s.exited = exited
	go func() { _ = process.Wait(); close(exited) }()
	deadline := time.Now().Add(60 * time.Second)
	for {
		if err := s.Ready(); err == nil {
			return
		} else if time.Now().After(deadline) {
			s.t.Fatalf("the server is not ready: %v\n%s", err, s.Log())
		}
		select {
		case <-exited:
			s.t.Fatalf("the server ended while it started\n%s", s.Log())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Ready asks the server whether it is.
func (s *Server) Ready() error {
	if s.Client == nil {
		config, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig)
		if err != nil {
			return err
		}
		config.QPS = -1
		if s.Client, err = versioned.NewForConfig(config); err != nil {
			return err
		}
		s.Config = config
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return s.Client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

// Kill ends the process as a power cut would, except for what the kernel holds.
func (s *Server) Kill() {
	if err := s.Process.Process.Kill(); err != nil {
		s.t.Errorf("killing the server: %v", err)
	}
	<-s.exited
}

// Stop ends the process in order.
func (s *Server) Stop() {
	_ = s.Process.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(30 * time.Second):
		s.t.Errorf("the server does not end on SIGTERM\n%s", s.Log())
		s.Kill()
	}
}

func (s *Server) end() {
	s.Stop()
	if s.t.Failed() {
		s.t.Logf("the server's log:\n%s", s.Log())
	}
}

// Log returns the end of what the server said.
func (s *Server) Log() string {
	data, _ := os.ReadFile(s.log)
	return string(data[max(0, len(data)-6000):])
}

// Jobs returns the process ids of the running jobs.
func (s *Server) Jobs() []int {
	var pids []int
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if exe, _ := os.Readlink("/proc/" + entry.Name() + "/exe"); exe != filepath.Join(programs, "safebeam-llm-job") {
			continue
		}
		for _, file := range []string{"environ", "cmdline"} {
			if data, _ := os.ReadFile("/proc/" + entry.Name() + "/" + file); bytes.Contains(data, []byte(s.gateway)) {
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids
}

// AddModel makes an echo model with parameters in JSON.
func (s *Server) AddModel(name, parameters string, jobs *tightbeamv1.ModelJobs) {
	s.t.Helper()
	model := &tightbeamv1.TightbeamModel{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       tightbeamv1.TightbeamModelSpec{Provider: tightbeamv1.ProviderEcho, Model: "echo", Jobs: jobs},
	}
	if parameters != "" {
		model.Spec.Parameters = &runtime.RawExtension{Raw: []byte(parameters)}
	}
	if _, err := s.Client.TightbeamV1().TightbeamModels(Namespace).Create(context.Background(), model, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// AddConversation makes a conversation.
func (s *Server) AddConversation(name, model string) {
	s.t.Helper()
	if _, err := s.Client.TightbeamV1().Conversations(Namespace).Create(context.Background(), &tightbeamv1.Conversation{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: tightbeamv1.ConversationSpec{Model: model},
	}, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// NewTurn returns a turn that asks one thing.
func NewTurn(name, conversation, question string) *tightbeamv1.Turn {
	return &tightbeamv1.Turn{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: tightbeamv1.TurnSpec{Conversation: conversation, Messages: []tightbeamv1.Message{{
			Role: tightbeamv1.RoleUser, Content: []tightbeamv1.ContentBlock{{Text: &question}},
		}}},
	}
}

// Get reads a path of tightbeam.dev below the namespace to its end.
func (s *Server) Get(path string) ([]byte, error) {
	return s.GetAPI("tightbeam.dev/v1/namespaces/" + Namespace + "/" + path)
}

// GetAPI reads a path below /apis to its end.
func (s *Server) GetAPI(path string) ([]byte, error) {
	client, err := rest.HTTPClientFor(s.Config)
	if err != nil {
		return nil, err
	}
	response, err := client.Get(s.Config.Host + "/apis/" + path)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.300s", path, response.Status, body)
	}
	return body, err
}
