// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
)

const (
	namespace = "default"
	pool      = "bench"
	// maxSandboxes leaves room for a burst, the pods that make up for it, and
	// those on their way out.
	maxSandboxes = 1000
)

// pods are of which kind. Figures of fake ones have that in their names.
type pods string

const (
	localPods pods = "local"
	fakePods  pods = "fake"
)

// bench is a server and its clients.
type bench struct {
	dir    string
	pods   pods
	server *exec.Cmd
	exited chan struct{}
	config *rest.Config
	// clients have a connection each: requests of a burst do not wait in one
	// line, which would measure the client.
	clients []versioned.Interface
	made    int

	mu sync.Mutex
	// cold counts sandboxes that got no warm pod, by reason.
	cold map[string]int
}

// start starts a server. With fake pods it is this program's own, else bin's.
func start(ctx context.Context, bin string, pods pods) (*bench, error) {
	dir, err := os.MkdirTemp("", "warmpoolbench-")
	if err != nil {
		return nil, err
	}
	if bin, err = filepath.Abs(bin); err != nil {
		return nil, err
	}
	b := &bench{dir: dir, pods: pods, exited: make(chan struct{}), cold: map[string]int{}}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	kubeconfig := filepath.Join(dir, "kubeconfig")
	program := []string{filepath.Join(bin, "safebeam"), "standalone"}
	if pods == fakePods {
		program = []string{"/proc/self/exe", serveFakePods}
	}
	b.server = exec.Command(program[0], append(program[1:], "--data-dir", filepath.Join(dir, "data"),
		"--kubeconfig", kubeconfig, "--secure-port", freePort(), "--gateway-address", "127.0.0.1:"+freePort(),
		"--llm-job-binary", filepath.Join(bin, "safebeam-llm-job"), "--sandboxd-binary", filepath.Join(bin, "sandboxd"),
		"--max-sandboxes", strconv.Itoa(maxSandboxes))...)
	b.server.Stdout, b.server.Stderr = log, log
	if err := b.server.Start(); err != nil {
		return nil, err
	}
	go func() { _ = b.server.Wait(); close(b.exited) }()
	err = b.eventually(ctx, 30*time.Second, func() error {
		if b.config, err = clientcmd.BuildConfigFromFlags("", kubeconfig); err != nil {
			return err
		}
		b.config.QPS = -1
		client, err := versioned.NewForConfig(b.config)
		if err != nil {
			return err
		}
		environments, err := client.LlmsafespaceV1().RuntimeEnvironments().List(ctx, metav1.ListOptions{})
		if err == nil && len(environments.Items) == 0 {
			err = errors.New("no runtime environments yet")
		}
		return err
	})
	if err != nil {
		b.stop()
		return nil, fmt.Errorf("the server did not start: %w\n%s", err, b.log())
	}
	for range 16 {
		// Each its own connection: client-go shares them between equal configurations.
		config := rest.CopyConfig(b.config)
		config.Dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
		client, err := versioned.NewForConfig(config)
		if err != nil {
			return nil, err
		}
		b.clients = append(b.clients, client)
	}
	return b, nil
}

func (b *bench) stop() {
	_ = b.server.Process.Signal(syscall.SIGTERM)
	select {
	case <-b.exited:
	case <-time.After(30 * time.Second):
		_ = b.server.Process.Kill()
		<-b.exited
	}
	os.RemoveAll(b.dir)
}

// log is the end of what the server said.
func (b *bench) log() string {
	data, _ := os.ReadFile(filepath.Join(b.dir, "log"))
	return string(data[max(0, len(data)-2000):])
}

func freePort() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "0"
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}

func (b *bench) eventually(ctx context.Context, most time.Duration, is func() error) error {
	deadline := time.Now().Add(most)
	for {
		err := is()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-b.exited:
			return errors.New("the server has ended")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// setPool has a pool of that many ready pods, and waits for them.
func (b *bench) setPool(ctx context.Context, size, most int, scaling *v1.AutoScaling) error {
	pools := b.clients[0].LlmsafespaceV1().WarmPools(namespace)
	spec := v1.WarmPoolSpec{
		Runtime: "bash", MinSize: int32(size), MaxSize: int32(most), AutoScaling: scaling, TTL: ptr.To[int32](0), Resources: resources(),
	}
	existing, err := pools.Get(ctx, pool, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = pools.Create(ctx, &v1.WarmPool{ObjectMeta: metav1.ObjectMeta{Name: pool}, Spec: spec}, metav1.CreateOptions{})
	case err == nil:
		existing.ResourceVersion, existing.Spec = "", spec
		_, err = pools.Update(ctx, existing, metav1.UpdateOptions{})
	}
	if err != nil {
		return err
	}
	return b.awaitPool(ctx, size)
}

func resources() *v1.Resources {
	return &v1.Resources{
		CPU: ptr.To(resource.MustParse("100m")), Memory: ptr.To(resource.MustParse("128Mi")), EphemeralStorage: ptr.To(resource.MustParse("16Mi")),
	}
}

func (b *bench) awaitPool(ctx context.Context, size int) error {
	return b.eventually(ctx, 3*time.Minute, func() error {
		p, err := b.clients[0].LlmsafespaceV1().WarmPools(namespace).Get(ctx, pool, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if p.Status.ObservedGeneration != p.Generation || int(p.Status.AvailablePods) < size || p.Status.PendingPods > 0 {
			return fmt.Errorf("%d of %d pods are ready: %+v", p.Status.AvailablePods, size, p.Status.Conditions)
		}
		return nil
	})
}

// awaitNone waits until no sandbox is left.
func (b *bench) awaitNone(ctx context.Context) error {
	return b.eventually(ctx, 3*time.Minute, func() error {
		list, err := b.clients[0].LlmsafespaceV1().Sandboxes(namespace).List(ctx, metav1.ListOptions{})
		if err == nil && len(list.Items) > 0 {
			err = fmt.Errorf("%d sandboxes are left", len(list.Items))
		}
		return err
	})
}

// name is one that no sandbox had.
func (b *bench) name() string {
	b.made++
	return "s-" + strconv.Itoa(b.made)
}

// create makes a sandbox and says how long that took, and whether it was warm.
func (b *bench) create(ctx context.Context, client versioned.Interface, name string) (took time.Duration, warm bool, err error) {
	began := time.Now()
	made, err := client.LlmsafespaceV1().Sandboxes(namespace).Create(ctx, &v1.Sandbox{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1.SandboxSpec{Runtime: "bash", Resources: resources(), TTLSecondsAfterFinished: ptr.To[int32](0)},
	}, metav1.CreateOptions{})
	if err != nil {
		return 0, false, err
	}
	took, warm = time.Since(began), made.Status.Phase == v1.SandboxRunning
	if c := meta.FindStatusCondition(made.Status.Conditions, v1.SandboxWarmPodBound); !warm && c != nil {
		b.mu.Lock()
		b.cold[c.Reason]++
		b.mu.Unlock()
	}
	return took, warm, nil
}

// tellCold says why sandboxes started cold since it was last called.
func (b *bench) tellCold() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for reason, n := range b.cold {
		fmt.Printf("%d started cold: %s\n", n, reason)
	}
	clear(b.cold)
}

// connect has every client connected, which takes a handshake.
func (b *bench) connect(ctx context.Context) error {
	for _, client := range b.clients {
		if _, err := client.LlmsafespaceV1().WarmPools(namespace).List(ctx, metav1.ListOptions{Limit: 1}); err != nil {
			return err
		}
	}
	return nil
}

// processorTime is what the server itself has used, without its sandboxes.
func (b *bench) processorTime() time.Duration {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.server.Process.Pid))
	if err != nil {
		return 0
	}
	// After the name in brackets: user and system time are the 12th and 13th field,
	// in hundredths of a second whatever the machine (proc_pid_stat(5), USER_HZ).
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

func (b *bench) remove(ctx context.Context, client versioned.Interface, name string) error {
	err := client.LlmsafespaceV1().Sandboxes(namespace).Delete(ctx, name, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// counters are sums over the labels of what the server counts.
func (b *bench) counters(ctx context.Context) (map[string]float64, error) {
	body, err := b.clients[0].Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	sums := map[string]float64{}
	for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); {
		name, rest, ok := strings.Cut(lines.Text(), " ")
		if i := strings.IndexByte(name, '{'); i >= 0 {
			name = lines.Text()[:i]
			rest = lines.Text()[strings.LastIndexByte(lines.Text(), ' ')+1:]
		}
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if value, err := strconv.ParseFloat(rest, 64); err == nil {
			sums[name] += value
		}
	}
	return sums, nil
}
