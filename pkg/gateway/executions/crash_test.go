// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package executions_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/apiserver"
	"safebeam.dev/safebeam/pkg/apiserver/options"
	"safebeam.dev/safebeam/pkg/gateway/bindings"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	"safebeam.dev/safebeam/pkg/registry/llmsafespace/sandboxpod"
	"safebeam.dev/safebeam/pkg/sandboxd/sandboxdtest"
)

const crashVariable = "SAFEBEAM_TEST_CRASH_SERVER"

// crashConfig is what a server that will be killed is told. Its tokens are the
// UIDs of pods: the next one knows them too.
type crashConfig struct {
	DataDir, Socket, Token, Port string
	Certificate, Key             []byte
}

// byUID takes a pod's UID for its token.
type byUID struct{ bindings *bindings.Store }

func (a byUID) Authenticate(ctx context.Context, token string) (types.UID, error) {
	if _, err := a.bindings.Await(ctx, types.UID(token), 10*time.Second); err != nil {
		return "", err
	}
	return types.UID(token), nil
}

// crashServer becomes a server if the process was started as one.
func crashServer() {
	encoded := os.Getenv(crashVariable)
	if encoded == "" {
		return
	}
	if err := serveUntilKilled(encoded); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serveUntilKilled(encoded string) error {
	var c crashConfig
	if err := json.Unmarshal([]byte(encoded), &c); err != nil {
		return err
	}
	certificate, err := tls.X509KeyPair(c.Certificate, c.Key)
	if err != nil {
		return err
	}
	o := options.NewStandaloneOptions()
	o.Storage.BBolt.DataDir = c.DataDir
	o.Standalone.AdminToken = c.Token
	o.Sandboxes.MaxMemory.Quantity = resource.MustParse("1Ti") // all that runs on this machine is counted
	if o.Recommended.SecureServing.Listener, err = net.Listen("tcp", "127.0.0.1:"+c.Port); err != nil {
		return err
	}
	if err := o.Complete(); err != nil {
		return err
	}
	opened, err := o.Config(context.Background())
	if err != nil {
		return err
	}
	server, err := opened.Complete().New()
	if err != nil {
		return err
	}
	storages := server.Storages.Sandboxes
	gateway := sandboxes.NewServer(sandboxes.Options{
		TLS: &tls.Config{Certificates: []tls.Certificate{certificate}}, Authenticator: byUID{storages.Bindings}, Observer: storages.Live,
	})
	storages.Live.Serve(gateway)
	os.Remove(c.Socket)
	listener, err := net.Listen("unix", c.Socket)
	if err != nil {
		return err
	}
	server.Add(apiserver.Component{Name: "sandbox gateway", Run: func(ctx context.Context) error { return gateway.Serve(ctx, listener) }})
	return server.Run(context.Background())
}

// killable is a server that is killed and started again.
type killable struct {
	t      *testing.T
	config crashConfig
	ca     []byte
	client *versioned.Clientset
	cmd    *exec.Cmd
	output *sandboxdtest.Output
	done   chan struct{}
}

func newKillable(t *testing.T) *killable {
	t.Helper()
	dir, err := os.MkdirTemp("", "crash") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ca, serving := sandboxdtest.Certificates(t)
	der, err := x509.MarshalECPrivateKey(serving.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(free.Addr().String())
	free.Close()
	k := &killable{t: t, ca: ca, config: crashConfig{
		DataDir: filepath.Join(dir, "data"), Socket: filepath.Join(dir, "socket"), Token: rand.Text(), Port: port,
		Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: serving.Certificate[0]}),
		Key:         pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}),
	}}
	k.client = versioned.NewForConfigOrDie(&rest.Config{
		Host: "https://127.0.0.1:" + port, BearerToken: k.config.Token, QPS: -1,
		TLSClientConfig: rest.TLSClientConfig{Insecure: true}, // the server makes its own authority, behind our back
	})
	k.start()
	t.Cleanup(k.kill)
	return k
}

func (k *killable) start() {
	encoded, err := json.Marshal(k.config)
	if err != nil {
		k.t.Fatal(err)
	}
	k.cmd, k.output, k.done = exec.Command("/proc/self/exe"), &sandboxdtest.Output{}, make(chan struct{})
	k.cmd.Env = append(os.Environ(), crashVariable+"="+string(encoded))
	k.cmd.Stderr = k.output
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	cmd, done := k.cmd, k.done
	go func() {
		runtime.LockOSThread() // a parent is a thread
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
			close(done)
		}
	}()
	if err := <-started; err != nil {
		k.t.Fatal(err)
	}
}

func (k *killable) kill() {
	k.cmd.Process.Kill()
	<-k.done
}

// insist repeats a request while the server is away.
func (k *killable) insist(what string, request func() error) error {
	deadline := time.Now().Add(50 * time.Second)
	for {
		err := request()
		var status apierrors.APIStatus
		if err == nil || asStatus(err, &status) && status.Status().Code < 500 && status.Status().Code != 429 && status.Status().Code != 403 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %w; the server said: %s", what, err, k.output)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func asStatus(err error, status *apierrors.APIStatus) bool {
	s, ok := err.(apierrors.APIStatus)
	*status = s
	return ok
}

// sandbox makes a Running sandbox whose sandboxd outlives the servers.
func (k *killable) sandbox(name string) (workspace string) {
	t, ctx, api := k.t, k.t.Context(), k.client.LlmsafespaceV1()
	workspace = t.TempDir()
	must := func(what string, request func() error) {
		t.Helper()
		if err := k.insist(what, request); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
	must("the environment", func() error {
		_, err := api.RuntimeEnvironments().Create(ctx, &v1.RuntimeEnvironment{
			ObjectMeta: metav1.ObjectMeta{Name: "test"}, Spec: v1.RuntimeEnvironmentSpec{Image: "localhost/test:1", Language: "python", Version: "3.11"},
		}, metav1.CreateOptions{})
		return err
	})
	pod := uuid.NewString()
	var box *v1.Sandbox
	must("the sandbox", func() (err error) {
		box, err = api.Sandboxes(namespace).Create(ctx, &v1.Sandbox{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: v1.SandboxSpec{
				Runtime: "test", Timeout: ptr.To[int32](3600), Filesystem: &v1.Filesystem{WritablePaths: []string{workspace}},
				Resources: &v1.Resources{Memory: ptr.To(resource.MustParse("1Ti"))},
			},
		}, metav1.CreateOptions{})
		return err
	})
	body, err := json.Marshal(sandboxpod.Binding{SandboxUID: box.UID, PodName: "pod", PodNamespace: namespace})
	if err != nil {
		t.Fatal(err)
	}
	must("the binding", func() error {
		return api.RESTClient().Put().Namespace(namespace).Resource("sandboxes").Name(name).SubResource("pods", pod).Body(body).Do(ctx).Error()
	})
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(pod), 0o600); err != nil {
		t.Fatal(err)
	}
	sandboxdtest.Start(t, sandboxdtest.Config{Gateway: "unix:" + k.config.Socket, CA: k.ca, TokenFile: token, WritablePaths: []string{workspace}})
	eventually(t, "the sandbox is Running", func() bool {
		box, err := api.Sandboxes(namespace).Get(ctx, name, metav1.GetOptions{})
		return err == nil && box.Status.Phase == v1.SandboxRunning
	})
	return workspace
}

// script is one execution of the crash test: it writes down that it ran, and says
// numbered lines for a while.
func script(i int) []string {
	return []string{"sh", "-c", fmt.Sprintf(`echo %d >> ran; n=0; while [ $n -lt 20 ]; do echo "line $n of %d"; n=$((n+1)); sleep 0.01; done; cat`, i, i)}
}

// sleeps is how long a script takes at least.
const sleeps = 200 * time.Millisecond

func wanted(i int) string {
	var b strings.Builder
	for n := range 20 {
		fmt.Fprintf(&b, "line %d of %d\n", n, i)
	}
	fmt.Fprintf(&b, "stdin of %d", i)
	return b.String()
}

// TestKilledServersLoseAndRepeatNothing kills the server again and again while
// executions are created and run: each ends, none runs twice, and none that says
// Succeeded has lost a byte of its output.
func TestKilledServersLoseAndRepeatNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("kills servers for some seconds: run without -short")
	}
	t.Parallel()
	k := newKillable(t)
	workspace := k.sandbox("box")
	api := k.client.LlmsafespaceV1().Executions(namespace)
	kills := 6
	over := make(chan struct{})
	var workers sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for worker := range 4 {
		workers.Go(func() {
			for i := worker; ; i += 4 {
				select {
				case <-over:
					return
				default:
				}
				spec := v1.ExecutionSpec{Sandbox: "box", WorkingDir: workspace, Command: script(i), Stdin: fmt.Sprintf("stdin of %d", i), TimeoutSeconds: ptr.To[int32](60)}
				err := k.insist("create", func() error {
					_, err := api.Create(context.Background(), &v1.Execution{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("e%d", i)}, Spec: spec}, metav1.CreateOptions{})
					return err
				})
				if err != nil && !apierrors.IsAlreadyExists(err) {
					t.Errorf("create %d: %v", i, err)
					return
				}
				mu.Lock()
				made = max(made, i+1)
				mu.Unlock()
				time.Sleep(time.Duration(mathrand.IntN(60)) * time.Millisecond)
			}
		})
	}
	for range kills {
		time.Sleep(500*time.Millisecond + time.Duration(mathrand.IntN(1500))*time.Millisecond)
		k.kill()
		k.start()
	}
	time.Sleep(500 * time.Millisecond)
	close(over)
	workers.Wait()

	counts := map[v1.ExecutionPhase]int{}
	phases := map[int]v1.ExecutionPhase{}
	for i := range made {
		var execution *v1.Execution
		deadline := time.Now().Add(90 * time.Second)
		for {
			if err := k.insist("get", func() (err error) {
				execution, err = api.Get(context.Background(), fmt.Sprintf("e%d", i), metav1.GetOptions{})
				return err
			}); err != nil {
				if apierrors.IsNotFound(err) {
					execution = nil
					break // the last of a worker may not have been created
				}
				t.Fatal(err)
			}
			if execution.Status.Phase.Terminal() {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("execution %d has no end: %+v", i, execution.Status)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if execution == nil {
			continue
		}
		status := execution.Status
		counts[status.Phase]++
		phases[i] = status.Phase
		switch status.Phase {
		case v1.ExecutionSucceeded:
			if status.Stdout == nil || status.Stdout.Head != wanted(i) {
				t.Errorf("execution %d succeeded with %+v", i, status.Stdout)
			}
			if took := status.CompletionTime.Sub(status.StartTime.Time); took < sleeps {
				t.Errorf("execution %d is said to have taken %v", i, took)
			}
		case v1.ExecutionLost:
			t.Logf("execution %d: %s: %s", i, status.Reason, status.Message)
		default:
			text, _ := json.Marshal(status)
			t.Errorf("execution %d: %s", i, text)
		}
		k.checkLog(i, &status)
	}
	t.Logf("%d executions: %v", made, counts)
	// How many a kill finds between Running and their start, which are lost, is the
	// machine's business.
	if counts[v1.ExecutionSucceeded] == 0 {
		t.Error("none succeeded: the test proves nothing")
	}
	ran, err := os.ReadFile(filepath.Join(workspace, "ran"))
	if err != nil {
		t.Fatal(err)
	}
	times := map[string]int{}
	for _, line := range strings.Fields(string(ran)) {
		times[line]++
	}
	for i := range made {
		n := times[fmt.Sprint(i)]
		if n > 1 || n == 0 && phases[i] == v1.ExecutionSucceeded {
			t.Errorf("execution %d, which is %s, ran %d times", i, phases[i], n)
		}
	}
}

// checkLog reads what the journal kept of an execution.
func (k *killable) checkLog(i int, status *v1.ExecutionStatus) {
	k.t.Helper()
	var raw []byte
	if err := k.insist("log", func() (err error) {
		raw, err = k.client.LlmsafespaceV1().RESTClient().Get().Namespace(namespace).Resource("executions").Name(fmt.Sprintf("e%d", i)).SubResource("log").
			Param("follow", "true").DoRaw(context.Background())
		return err
	}); err != nil {
		k.t.Fatal(err)
	}
	var text strings.Builder
	var last v1.ExecutionEvent
	for _, line := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
		if line == "" {
			continue
		}
		var event v1.ExecutionEvent
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			k.t.Fatalf("%q: %v", line, err)
		}
		if event.Number <= last.Number || last.Type.Terminal() || event.Number != last.Number+1 && event.Type != v1.ExecutionEventResumed {
			k.t.Errorf("execution %d: event %d (%s) follows %d (%s)", i, event.Number, event.Type, last.Number, last.Type)
		}
		if event.Type == v1.ExecutionEventOutput {
			text.Write(event.Data())
		}
		last = event
	}
	if string(last.Type) != string(status.Phase) || last.Number != status.LastEvent {
		k.t.Errorf("execution %d: last event %+v, status %+v", i, last, status)
	}
	if status.Phase == v1.ExecutionSucceeded && text.String() != wanted(i) {
		k.t.Errorf("execution %d: log %q", i, text.String())
	}
}
