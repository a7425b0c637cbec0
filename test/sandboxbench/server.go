// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
)

const namespace = "default"

// api is a standalone server, and its clients.
type api struct {
	config *rest.Config
	client *versioned.Clientset
	http   *http.Client
	cmd    *exec.Cmd
	agent  int // the sandboxd of the sandbox that most parts use
	log    *os.File
	once   sync.Once
}

// startServer starts a server of its own and waits until it is ready.
func startServer(ctx context.Context, bin, dir string) (*api, error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(free.Addr().String())
	free.Close()
	kubeconfig := filepath.Join(dir, "kubeconfig")
	a := &api{}
	if a.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		return nil, err
	}
	a.cmd = exec.Command(filepath.Join(bin, "safebeam"), "standalone", "--data-dir="+filepath.Join(dir, "data"), "--secure-port="+port,
		"--gateway-address=127.0.0.1:0", "--kubeconfig="+kubeconfig)
	a.cmd.Stdout, a.cmd.Stderr = a.log, a.log
	if err := a.cmd.Start(); err != nil {
		return nil, err
	}
	ready := func() error {
		if a.config, err = clientcmd.BuildConfigFromFlags("", kubeconfig); err != nil {
			return err
		}
		a.config.QPS = -1
		if a.client, err = versioned.NewForConfig(a.config); err != nil {
			return err
		}
		environments, err := a.client.LlmsafespaceV1().RuntimeEnvironments().List(ctx, metav1.ListOptions{})
		if err == nil && len(environments.Items) == 0 {
			err = fmt.Errorf("there is no RuntimeEnvironment")
		}
		return err
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if err = ready(); err == nil {
			break
		}
		if time.Now().After(deadline) {
			a.stop()
			said, _ := os.ReadFile(a.log.Name())
			return nil, fmt.Errorf("the server did not become ready: %w\n%s", err, said)
		}
	}
	a.http, err = rest.HTTPClientFor(a.config)
	return a, err
}

func (a *api) stop() {
	a.once.Do(func() {
		a.cmd.Process.Signal(syscall.SIGTERM)
		a.cmd.Wait()
		a.log.Close()
	})
}

// sandbox makes a sandbox and waits until it is Running; took is the time of both.
func (a *api) sandbox(ctx context.Context, name string) (box *v1.Sandbox, took time.Duration, err error) {
	sandboxes := a.client.LlmsafespaceV1().Sandboxes(namespace)
	began := time.Now()
	box, err = sandboxes.Create(ctx, &v1.Sandbox{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1.SandboxSpec{Runtime: "bash", Timeout: ptr.To[int32](3600)},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, 0, err
	}
	if box.Status.Phase == v1.SandboxRunning {
		return box, time.Since(began), nil
	}
	watch, err := sandboxes.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name, ResourceVersion: box.ResourceVersion})
	if err != nil {
		return nil, 0, err
	}
	defer watch.Stop()
	timeout := time.After(2 * time.Minute)
	for {
		select {
		case event, ok := <-watch.ResultChan():
			if !ok {
				return nil, 0, fmt.Errorf("the watch of sandbox %s ended", name)
			}
			box, ok = event.Object.(*v1.Sandbox)
			if !ok {
				return nil, 0, fmt.Errorf("the watch of sandbox %s: %v", name, event.Object)
			}
			switch {
			case box.Status.Phase == v1.SandboxRunning:
				return box, time.Since(began), nil
			case box.Status.Phase.Terminal():
				return nil, 0, fmt.Errorf("sandbox %s is %s: %s: %s", name, box.Status.Phase, box.Status.Reason, box.Status.Message)
			}
		case <-timeout:
			return nil, 0, fmt.Errorf("sandbox %s is not Running: %+v", name, box.Status)
		}
	}
}

func (a *api) deleteSandbox(ctx context.Context, name string) error {
	return a.client.LlmsafespaceV1().Sandboxes(namespace).Delete(ctx, name, metav1.DeleteOptions{})
}
