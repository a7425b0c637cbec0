// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package neverlost

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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

const namespace = "default"

// programs is the directory of the programs under test.
var programs string

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == writerCommand {
		os.Exit(writerMain(os.Args[2:]))
	}
	os.Exit(func() int {
		var err error
		if programs, err = os.MkdirTemp("", "neverlost-bin-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(programs)
		build := exec.Command("go", "build", "-o", programs+"/", "../../cmd/safebeam", "../../cmd/safebeam-llm-job")
		if output, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the programs: %v\n%s", err, output)
			return 1
		}
		return m.Run()
	}())
}

// rounds is how often something is killed.
func rounds(t *testing.T, byDefault int) int {
	if text := os.Getenv("NEVERLOST_ROUNDS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("NEVERLOST_ROUNDS: %v", err)
		}
		return n
	}
	return byDefault
}

// random is seeded anew in every run, and says how.
func random(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("NEVERLOST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("NEVERLOST_SEED: %v", err)
		}
	}
	t.Logf("NEVERLOST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// server is a standalone server that can be killed and started again in the
// same place.
type server struct {
	t          *testing.T
	dir        string
	kubeconfig string
	arguments  []string
	process    *exec.Cmd
	exited     chan struct{}
	log        string
	config     *rest.Config
	client     versioned.Interface
}

func newServer(t *testing.T, extra ...string) *server {
	t.Helper()
	dir := t.TempDir()
	_, port, _ := net.SplitHostPort(freeAddress(t))
	s := &server{
		t: t, dir: dir, kubeconfig: filepath.Join(dir, "kubeconfig"), log: filepath.Join(dir, "server.log"),
		arguments: append([]string{
			"standalone", "--data-dir", filepath.Join(dir, "data"), "--secrets-dir", filepath.Join(dir, "secrets"),
			"--kubeconfig", filepath.Join(dir, "kubeconfig"), "--secure-port", port, "--gateway-address", freeAddress(t),
			"--job-grace", "3s",
		}, extra...),
	}
	s.start()
	t.Cleanup(s.end)
	return s
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func (s *server) start() {
	s.t.Helper()
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.process = exec.Command(filepath.Join(programs, "safebeam"), s.arguments...)
	s.process.Stdout, s.process.Stderr = log, log
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	exited := make(chan struct{})
	s.exited = exited
	go func() { _ = s.process.Wait(); close(exited) }()
	deadline := time.Now().Add(60 * time.Second)
	for {
		if err := s.ready(); err == nil {
			return
		} else if time.Now().After(deadline) {
			s.t.Fatalf("the server is not ready: %v\n%s", err, s.tail())
		}
		select {
		case <-exited:
			s.t.Fatalf("the server ended while it started\n%s", s.tail())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (s *server) ready() error {
	if s.client == nil {
		config, err := clientcmd.BuildConfigFromFlags("", s.kubeconfig)
		if err != nil {
			return err
		}
		config.QPS = -1
		if s.client, err = versioned.NewForConfig(config); err != nil {
			return err
		}
		s.config = config
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return s.client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

// kill ends the server as a power cut would, except for what the kernel holds.
func (s *server) kill() {
	if err := s.process.Process.Kill(); err != nil {
		s.t.Errorf("killing the server: %v", err)
	}
	<-s.exited
}

func (s *server) end() {
	_ = s.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(30 * time.Second):
		s.t.Errorf("the server does not end on SIGTERM\n%s", s.tail())
		s.kill()
	}
	if s.t.Failed() {
		s.t.Logf("the server's log:\n%s", s.tail())
	}
}

func (s *server) tail() string {
	data, _ := os.ReadFile(s.log)
	return string(data[max(0, len(data)-6000):])
}

// jobs returns the process ids of the running jobs.
func (s *server) jobs() []int {
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
		if environ, _ := os.ReadFile("/proc/" + entry.Name() + "/environ"); bytes.Contains(environ, []byte(s.gatewayAddress())) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (s *server) gatewayAddress() string {
	for i, argument := range s.arguments {
		if argument == "--gateway-address" {
			return s.arguments[i+1]
		}
	}
	return ""
}

// addModel makes an echo model.
func (s *server) addModel(name, parameters string, jobs *tightbeamv1.ModelJobs) {
	s.t.Helper()
	model := &tightbeamv1.TightbeamModel{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       tightbeamv1.TightbeamModelSpec{Provider: tightbeamv1.ProviderEcho, Model: "echo", Jobs: jobs},
	}
	if parameters != "" {
		model.Spec.Parameters = &runtime.RawExtension{Raw: []byte(parameters)}
	}
	if _, err := s.client.TightbeamV1().TightbeamModels(namespace).Create(context.Background(), model, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) addConversation(name, model string) {
	s.t.Helper()
	if _, err := s.client.TightbeamV1().Conversations(namespace).Create(context.Background(), &tightbeamv1.Conversation{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: tightbeamv1.ConversationSpec{Model: model},
	}, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// get reads a subresource that is a stream, to its end.
func (s *server) get(path string) ([]byte, error) {
	client, err := rest.HTTPClientFor(s.config)
	if err != nil {
		return nil, err
	}
	response, err := client.Get(s.config.Host + "/apis/tightbeam.dev/v1/namespaces/" + namespace + "/" + path)
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
