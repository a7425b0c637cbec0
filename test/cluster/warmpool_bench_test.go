// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	"safebeam.dev/safebeam/test/sandboxes"
)

// warmUser is somebody with a pool that is as large as it may be: pods that are
// claimed are made up for when their sandboxes are gone, so that claims are
// measured and not starts beside them.
func warmUser(t *testing.T, size int32, cpu string) (user *sandboxes.User, small func(*v1.SandboxSpec)) {
	t.Helper()
	user = sandboxUser(t)
	resources := &v1.Resources{CPU: ptr.To(resource.MustParse(cpu)), Memory: ptr.To(resource.MustParse("64Mi")), EphemeralStorage: ptr.To(resource.MustParse("64Mi"))}
	addPool(t, user, user.Namespace, size, func(s *v1.WarmPoolSpec) { s.MaxSize, s.Resources = size, resources })
	return user, func(s *v1.SandboxSpec) { s.Resources = resources }
}

// connect is a client with a connection of its own, which is there already, and that
// does not print that the pods are small.
func connect(t *testing.T, namespace string) versioned.Interface {
	t.Helper()
	own := rest.CopyConfig(config)
	own.Dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext // client-go shares connections of equal configurations
	own.WarningHandler = rest.NoWarnings{}
	client, err := versioned.NewForConfig(own)
	if err == nil {
		_, err = client.LlmsafespaceV1().WarmPools(namespace).List(t.Context(), metav1.ListOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// createWarm creates a sandbox, which must be Running in the answer.
func createWarm(ctx context.Context, client versioned.Interface, namespace, name string, change func(*v1.SandboxSpec)) (time.Duration, error) {
	sandbox := sandboxes.New(name, change)
	began := time.Now()
	made, err := client.LlmsafespaceV1().Sandboxes(namespace).Create(ctx, sandbox, metav1.CreateOptions{})
	took := time.Since(began)
	if err == nil && made.Status.Phase != v1.SandboxRunning {
		err = fmt.Errorf("sandbox %s is %s: %+v", name, made.Status.Phase, made.Status.Conditions)
	}
	return took, err
}

// TestBenchWarmCreate is create to Running in the answer, one after another, and
// create to the output of a first echo.
func TestBenchWarmCreate(t *testing.T) {
	needBench(t)
	const size = 15
	user, small := warmUser(t, size, "100m")
	client := connect(t, user.Namespace)
	var created, first, bound samples
	for round := range rounds(10, 2) {
		full(t, user, size)
		var names []string
		for i := range size {
			name := fmt.Sprintf("warm-%d-%d", round, i)
			names = append(names, name)
			began := time.Now()
			took, err := createWarm(t.Context(), client, user.Namespace, name, small)
			if err != nil {
				t.Fatal(err)
			}
			created = append(created, took)
			if i%2 == 0 {
				continue // the next create is not one after an exec
			}
			out, err := user.Exec(t.Context(), name, sandboxes.Command{Argv: []string{"echo", "hello"}})
			if err != nil || out.Stdout != "hello\n" {
				t.Fatalf("the first exec: %+v, %v", out, err)
			}
			first = append(first, time.Since(began))
		}
		list, err := user.Client.LlmsafespaceV1().Sandboxes(user.Namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range list.Items {
			bound = append(bound, time.Duration(list.Items[i].Status.Timings.ReadyMilliseconds)*time.Millisecond)
		}
		for _, name := range names {
			user.Gone(t, name)
		}
	}
	fmt.Println("warm create, through kube-apiserver:  ", created)
	fmt.Println("of that until bound, as our server says:", bound)
	fmt.Println("warm create and the result of echo:   ", first)
	figure("warm_create_cluster_p50_ms", milliseconds(created.at(.5)), "ms")
	figure("warm_create_cluster_p99_ms", milliseconds(created.at(.99)), "ms")
	figure("create_first_result_cluster_p50_ms", milliseconds(first.at(.5)), "ms")
	figure("create_first_result_cluster_p99_ms", milliseconds(first.at(.99)), "ms")
}

// TestBenchWarmBurst is 50 creates at once on a pool of as many pods, over 16
// connections: one would have them wait in line.
func TestBenchWarmBurst(t *testing.T) {
	needBench(t)
	size := int32(rounds(50, 20))
	user, small := warmUser(t, size, "50m") // the least that the runtime takes
	clients := make([]versioned.Interface, 16)
	for i := range clients {
		clients[i] = connect(t, user.Namespace)
	}
	// A pool at rest: fifty pods that have just started have the processors for a while,
	// and the loop asks each once more when it has come to rest.
	time.Sleep(10 * time.Second)
	var (
		mu    sync.Mutex
		times samples
		all   sync.WaitGroup
	)
	began := time.Now()
	for i := range int(size) {
		all.Go(func() {
			took, err := createWarm(t.Context(), clients[i%len(clients)], user.Namespace, fmt.Sprint("burst-", i), small)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			times = append(times, took)
		})
	}
	all.Wait()
	took := time.Since(began)
	fmt.Printf("%d warm creates at once, through kube-apiserver: %s\n", size, times)
	figure(fmt.Sprintf("warm_create_burst%d_cluster_p50_ms", size), milliseconds(times.at(.5)), "ms")
	figure(fmt.Sprintf("warm_create_burst%d_cluster_p99_ms", size), milliseconds(times.at(.99)), "ms")
	figure(fmt.Sprintf("warm_create_burst%d_cluster_claims_per_s", size), float64(size)/took.Seconds(), "1/s")
}
