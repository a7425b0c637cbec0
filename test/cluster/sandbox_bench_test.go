// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/utils/ptr"

	"k8s.io/apimachinery/pkg/api/resource"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/test/sandboxes"
)

// viaPods runs a command by kube-apiserver's own pods/exec.
func viaPods(ctx context.Context, pod *corev1.Pod, stdout io.Writer, argv ...string) error {
	client, err := rest.RESTClientFor(coreConfig())
	if err != nil {
		return err
	}
	where := client.Get().Namespace(pod.Namespace).Resource("pods").Name(pod.Name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: pod.Spec.Containers[0].Name, Command: argv, Stdout: true, Stderr: true}, scheme.ParameterCodec).URL()
	executor, err := remotecommand.NewWebSocketExecutor(config, http.MethodGet, where.String())
	if err != nil {
		return err
	}
	return executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: stdout, Stderr: io.Discard})
}

func coreConfig() *rest.Config {
	c := rest.CopyConfig(config)
	c.GroupVersion = &corev1.SchemeGroupVersion
	c.APIPath = "/api"
	c.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	return c
}

// TestBenchExecBesidePodsExec runs the same commands in the same pod by our exec
// and by kube-apiserver's pods/exec, in turns, so that both meet the same machine.
func TestBenchExecBesidePodsExec(t *testing.T) {
	needBench(t)
	user := sandboxUser(t)
	sandbox := user.Running(t, "bench", func(s *v1.SandboxSpec) {
		s.Timeout = ptr.To[int32](3600)
		s.Resources = &v1.Resources{CPU: ptr.To(resource.MustParse("1")), Memory: ptr.To(resource.MustParse("512Mi"))}
	})
	pod := podOf(t, sandbox)
	ours := func(ctx context.Context, stdout io.Writer, argv ...string) error {
		executor, err := remotecommand.NewWebSocketExecutor(config, http.MethodGet, user.ExecURL("bench", sandboxes.Command{Argv: argv}).String())
		if err != nil {
			return err
		}
		return executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: stdout, Stderr: io.Discard})
	}
	theirs := func(ctx context.Context, stdout io.Writer, argv ...string) error {
		return viaPods(ctx, pod, stdout, argv...)
	}
	type way struct {
		name string
		exec func(context.Context, io.Writer, ...string) error
	}
	ways := []way{{"sandboxes/exec", ours}, {"pods/exec", theirs}}

	const warmUp = 10
	for _, command := range [][]string{{"true"}, {"echo", "hello"}} {
		took := map[string]samples{}
		for i := range warmUp + rounds(500, 60) {
			for _, w := range ways {
				began := time.Now()
				var out bytes.Buffer
				if err := w.exec(t.Context(), &out, command...); err != nil {
					t.Fatalf("%s: %v", w.name, err)
				}
				if command[0] == "echo" && out.String() != "hello\n" {
					t.Fatalf("%s: %q", w.name, out.String())
				}
				if i >= warmUp {
					took[w.name] = append(took[w.name], time.Since(began))
				}
			}
		}
		for _, w := range ways {
			fmt.Printf("exec of %s by %s: %s\n", command[0], w.name, took[w.name])
		}
		p50, p50pods := took["sandboxes/exec"].at(.5), took["pods/exec"].at(.5)
		figure(fmt.Sprintf("exec_%s_cluster_p50_ms", command[0]), milliseconds(p50), "ms")
		figure(fmt.Sprintf("exec_%s_cluster_p99_ms", command[0]), milliseconds(took["sandboxes/exec"].at(.99)), "ms")
		figure(fmt.Sprintf("pods_exec_%s_p50_ms", command[0]), milliseconds(p50pods), "ms")
		if command[0] == "true" {
			figure("pods_exec_ratio", float64(p50pods)/float64(p50), "x")
		}
	}

	// Execs a second, 32 at a time, the two one after the other, twice.
	rate := map[string]float64{}
	for range 2 {
		for _, w := range ways {
			n := rounds(500, 96)
			var wait sync.WaitGroup
			jobs := make(chan struct{})
			errs := make(chan error, n)
			began := time.Now()
			for range 32 {
				wait.Go(func() {
					for range jobs {
						if err := w.exec(t.Context(), io.Discard, "true"); err != nil {
							errs <- err
						}
					}
				})
			}
			for range n {
				jobs <- struct{}{}
			}
			close(jobs)
			wait.Wait()
			perSecond := float64(n) / time.Since(began).Seconds()
			if len(errs) > 0 {
				t.Fatalf("%s: %d of %d failed: %v", w.name, len(errs), n, <-errs)
			}
			fmt.Printf("execs a second, 32 at a time, by %s: %.0f\n", w.name, perSecond)
			rate[w.name] = max(rate[w.name], perSecond)
		}
	}
	figure("execs_per_s_32_cluster", rate["sandboxes/exec"], "/s")
	figure("pods_execs_per_s_32", rate["pods/exec"], "/s")
	figure("execs_per_s_32_ratio", rate["sandboxes/exec"]/rate["pods/exec"], "x")

	// Output.
	bytes := int64(rounds(256, 32)) << 20
	for _, w := range ways {
		var count counter
		began := time.Now()
		if err := w.exec(t.Context(), &count, "head", "-c", fmt.Sprint(bytes), "/dev/zero"); err != nil || int64(count) != bytes {
			t.Fatalf("%s: %d bytes, %v", w.name, count, err)
		}
		figure("output_"+strings.ReplaceAll(w.name, "/", "_")+"_mib_s", float64(bytes>>20)/time.Since(began).Seconds(), "MiB/s")
	}
}

type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

// TestBenchColdCreate is the way from nothing to Running, and back.
func TestBenchColdCreate(t *testing.T) {
	needBench(t)
	user := sandboxUser(t)
	var total, gone samples
	for i := range rounds(20, 5) {
		name := fmt.Sprintf("cold-%d", i)
		began := time.Now()
		sandbox := user.Running(t, name, small)
		total = append(total, time.Since(began))
		pod := podOf(t, sandbox)
		if i == 0 {
			for _, condition := range pod.Status.Conditions {
				fmt.Printf("  %s: %s after\n", condition.Type, condition.LastTransitionTime.Sub(pod.CreationTimestamp.Time))
			}
		}
		gone = append(gone, user.Gone(t, name))
	}
	fmt.Println("cold create to Running:", total)
	fmt.Println("delete to gone:        ", gone)
	figure("cold_create_cluster_p50_ms", milliseconds(total.at(.5)), "ms")
	figure("sandbox_delete_cluster_p50_ms", milliseconds(gone.at(.5)), "ms")
}
