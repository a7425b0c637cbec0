// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/remotecommand"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// benchSandbox is the one that most parts use.
const benchSandbox = "bench"

func (a *api) ensureSandbox(ctx context.Context) error {
	if _, err := a.client.LlmsafespaceV1().Sandboxes(namespace).Get(ctx, benchSandbox, metav1.GetOptions{}); err == nil {
		return nil
	}
	before := a.sandboxds()
	if _, _, err := a.sandbox(ctx, benchSandbox); err != nil {
		return err
	}
	for _, pid := range a.sandboxds() {
		if !slices.Contains(before, pid) {
			a.agent = pid
		}
	}
	if a.agent == 0 {
		return fmt.Errorf("the sandbox %s has no sandboxd", benchSandbox)
	}
	time.Sleep(restTime)
	resident("sandboxd", "fresh", a.agent)
	return nil
}

func (a *api) path(sandbox, subresource string) string {
	return a.config.Host + "/apis/llmsafespace.dev/v1/namespaces/" + namespace + "/sandboxes/" + sandbox + "/" + subresource
}

// exec runs a command as client-go's own executor does: a connection each.
func (a *api) exec(ctx context.Context, stdout io.Writer, argv ...string) error {
	return a.execIn(ctx, benchSandbox, stdout, argv...)
}

func (a *api) execIn(ctx context.Context, sandbox string, stdout io.Writer, argv ...string) error {
	query := url.Values{"command": argv, "stdout": {"true"}}
	executor, err := remotecommand.NewWebSocketExecutor(a.config, http.MethodGet, a.path(sandbox, "exec")+"?"+query.Encode())
	if err != nil {
		return err
	}
	return executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: stdout})
}

func execs(ctx context.Context, a *api, n int, _ bool) error {
	if err := a.ensureSandbox(ctx); err != nil {
		return err
	}
	for _, c := range []struct {
		name string
		argv []string
	}{{"exec_true", []string{"true"}}, {"exec_echo", []string{"echo", "hello"}}} {
		var times []time.Duration
		before := a.processorTime()
		for range n {
			began := time.Now()
			if err := a.exec(ctx, io.Discard, c.argv...); err != nil {
				return err
			}
			times = append(times, time.Since(began))
		}
		a.processorTime().each(c.name, before, n)
		percentiles(c.name, times)
	}
	before := a.processorTime()
	err := parallel(ctx, "execs_per_s_32", 32, 4*n, func(context.Context, int) error { return a.exec(ctx, io.Discard, "true") })
	a.processorTime().each("exec_32", before, 4*n)
	if err != nil {
		return err
	}
	resident("sandboxd", "after_execs", a.agent)
	time.Sleep(restTime)
	resident("sandboxd", "rested", a.agent)
	return a.ordinary(ctx)
}

// ordinary looks at sandboxd while it works, as it mostly does: a command now and then.
func (a *api) ordinary(ctx context.Context) error {
	var all, own []int64
	for range 20 {
		if err := a.exec(ctx, io.Discard, "echo", "hello"); err != nil {
			return err
		}
		all, own = append(all, memoryOf(a.agent, "VmRSS")), append(own, memoryOf(a.agent, "RssAnon"))
		time.Sleep(restTime / 10)
	}
	figure("sandboxd_rss_working_mb", megabytes(slices.Max(all)), "MB")
	figure("sandboxd_own_working_mb", megabytes(slices.Max(own)), "MB")
	return nil
}

// parallel prints how many of n a second so many workers do.
func parallel(ctx context.Context, name string, workers, n int, do func(context.Context, int) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	began := time.Now()
	for range workers {
		wg.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(n) {
					return
				}
				if err := do(ctx, int(i)); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
					return
				}
			}
		})
	}
	wg.Wait()
	if failed != nil {
		return failed
	}
	figure(name, float64(n)/time.Since(began).Seconds(), "1/s")
	return nil
}

// executions measures Execution objects: from the request to the terminal event in
// the log, which is what a client waits for.
func executions(ctx context.Context, a *api, n int, _ bool) error {
	if err := a.ensureSandbox(ctx); err != nil {
		return err
	}
	run := func(ctx context.Context, name string, spec v1.ExecutionSpec) error {
		spec.Sandbox = benchSandbox
		client := a.client.LlmsafespaceV1()
		if _, err := client.Executions(namespace).Create(ctx, &v1.Execution{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}, metav1.CreateOptions{}); err != nil {
			return err
		}
		log, err := client.RESTClient().Get().Namespace(namespace).Resource("executions").Name(name).SubResource("log").Param("follow", "true").DoRaw(ctx)
		if err == nil && !bytes.Contains(log, []byte(`"type":"Succeeded"`)) {
			err = fmt.Errorf("%s: %s", name, log)
		}
		return err
	}
	for _, c := range []struct {
		name string
		spec v1.ExecutionSpec
	}{
		{"execution_echo", v1.ExecutionSpec{Command: []string{"echo", "hello"}}},
		{"execution_code", v1.ExecutionSpec{Code: "echo hello", Language: "sh"}},
	} {
		var times []time.Duration
		for i := range n {
			began := time.Now()
			if err := run(ctx, fmt.Sprintf("%s-%d", strings.ReplaceAll(c.name, "_", "-"), i), c.spec); err != nil {
				return err
			}
			times = append(times, time.Since(began))
		}
		percentiles(c.name, times)
	}
	return parallel(ctx, "executions_per_s_32", 32, 4*n, func(ctx context.Context, i int) error {
		return run(ctx, fmt.Sprintf("parallel-%d", i), v1.ExecutionSpec{Command: []string{"true"}})
	})
}

// count counts what it is given.
type count int64

func (c *count) Write(p []byte) (int, error) { *c += count(len(p)); return len(p), nil }

func output(ctx context.Context, a *api, _ int, short bool) error {
	if err := a.ensureSandbox(ctx); err != nil {
		return err
	}
	size := int64(1 << 30)
	if short {
		size = 128 << 20
	}
	var got count
	began := time.Now()
	if err := a.exec(ctx, &got, "head", "-c", fmt.Sprint(size), "/dev/zero"); err != nil {
		return err
	}
	if int64(got) != size {
		return fmt.Errorf("%d of %d bytes of output", got, size)
	}
	throughput("output_mib_per_s", size, began)
	resident("sandboxd", "after_output", a.agent)
	return nil
}

// files uploads in parts, as kube-apiserver's bounds want it, and downloads in one.
func files(ctx context.Context, a *api, _ int, short bool) error {
	if err := a.ensureSandbox(ctx); err != nil {
		return err
	}
	const part = 16 << 20
	parts := 16
	if short {
		parts = 4
	}
	content := make([]byte, part)
	rand.Read(content)
	size := int64(parts) * part
	began := time.Now()
	for i := range parts {
		from := int64(i) * part
		request, err := http.NewRequestWithContext(ctx, http.MethodPut, a.path(benchSandbox, "files/workspace/file?upload=bench"), bytes.NewReader(content))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/octet-stream")
		request.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, from+part-1, size))
		if err := a.do(request, io.Discard); err != nil {
			return err
		}
	}
	throughput("upload_mib_per_s", size, began)
	resident("sandboxd", "after_upload", a.agent)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.path(benchSandbox, "files/workspace/file"), nil)
	if err != nil {
		return err
	}
	var got count
	began = time.Now()
	if err := a.do(request, &got); err != nil {
		return err
	}
	if int64(got) != size {
		return fmt.Errorf("%d of %d bytes of a file", got, size)
	}
	throughput("download_mib_per_s", size, began)
	return nil
}

func (a *api) do(request *http.Request, to io.Writer) error {
	response, err := a.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		said, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
		return fmt.Errorf("%s %s: %s: %s", request.Method, request.URL.Path, response.Status, said)
	}
	_, err = io.Copy(to, response.Body)
	return err
}

// cold measures sandboxes from the request to Running, and to the first result.
func cold(ctx context.Context, a *api, n int, short bool) error {
	rounds := min(n, 50)
	if short {
		rounds = 10
	}
	var times, first []time.Duration
	var queued, bound, ready []int64
	for i := range rounds {
		name := fmt.Sprintf("cold-%d", i)
		began := time.Now()
		box, took, err := a.sandbox(ctx, name)
		if err != nil {
			return err
		}
		times = append(times, took)
		if t := box.Status.Timings; t != nil {
			queued, bound, ready = append(queued, t.QueuedMilliseconds), append(bound, t.BoundMilliseconds), append(ready, t.ReadyMilliseconds)
		}
		client := a.client.LlmsafespaceV1()
		spec := v1.ExecutionSpec{Sandbox: name, Command: []string{"echo", "hello"}}
		if _, err := client.Executions(namespace).Create(ctx, &v1.Execution{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}, metav1.CreateOptions{}); err != nil {
			return err
		}
		if _, err := client.RESTClient().Get().Namespace(namespace).Resource("executions").Name(name).SubResource("log").Param("follow", "true").DoRaw(ctx); err != nil {
			return err
		}
		first = append(first, time.Since(began))
		if err := a.deleteSandbox(ctx, name); err != nil {
			return err
		}
	}
	percentiles("cold_create", times)
	percentiles("cold_first_result", first)
	for name, parts := range map[string][]int64{"queued": queued, "bound": bound, "ready": ready} {
		if len(parts) > 0 {
			slices.Sort(parts)
			figure("cold_create_"+name+"_p50_ms", float64(parts[len(parts)/2]), "ms")
		}
	}
	return nil
}

// memory has 100 sandboxes made at once, and looks at what they weigh.
func memory(ctx context.Context, a *api, _ int, short bool) error {
	n := 100
	if short {
		n = 20
	}
	// A server runs 100, which is all of them.
	if err := a.deleteSandbox(ctx, benchSandbox); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	for deadline := time.Now().Add(time.Minute); len(a.sandboxds()) > 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("%d sandboxes do not end", len(a.sandboxds()))
		}
	}
	before := memoryOf(a.cmd.Process.Pid, "VmRSS")
	began := time.Now()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for i := range n {
		wg.Go(func() {
			if _, _, err := a.sandbox(ctx, fmt.Sprintf("many-%d", i)); err != nil {
				mu.Lock()
				failed = errors.Join(failed, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if failed != nil {
		return failed
	}
	figure(fmt.Sprintf("sandboxes_%d_cold_s", n), time.Since(began).Seconds(), "s")
	time.Sleep(restTime) // sandboxd gives back what its start has left
	resident("sandboxd", "idle", a.sandboxds()...)
	figure("server_rss_per_sandbox_kb", float64(memoryOf(a.cmd.Process.Pid, "VmRSS")-before)/float64(n), "KiB")

	// Most sandboxes have worked, and wait for what comes next.
	if err := parallel(ctx, "execs_in_all", 4, 5*n, func(ctx context.Context, i int) error {
		return a.execIn(ctx, fmt.Sprintf("many-%d", i%n), io.Discard, "echo", "hello")
	}); err != nil {
		return err
	}
	time.Sleep(restTime)
	resident("sandboxd", "", a.sandboxds()...)
	for i := range n {
		if err := a.deleteSandbox(ctx, fmt.Sprintf("many-%d", i)); err != nil {
			return err
		}
	}
	return nil
}

// restTime is longer than sandboxd waits before it gives memory back.
const restTime = 3 * time.Second

// resident prints what processes have resident at a time, the median of them, and what
// of that is their own: the rest are pages of the binary, which all sandboxes share.
func resident(name, when string, pids ...int) {
	for _, part := range []struct{ name, field string }{{"rss", "VmRSS"}, {"own", "RssAnon"}} {
		var all []int64
		for _, pid := range pids {
			all = append(all, memoryOf(pid, part.field))
		}
		if slices.Sort(all); len(all) > 0 {
			figure(strings.Join(slices.DeleteFunc([]string{name, part.name, when, "mb"}, func(s string) bool { return s == "" }), "_"), megabytes(all[len(all)/2]), "MB")
		}
	}
}

// megabytes are of a million bytes each, as those of the aims.
func megabytes(kib int64) float64 { return float64(kib) * 1024 / 1e6 }

// memoryOf is a line of a process's status in KiB.
func memoryOf(pid int, field string) int64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kib, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib
		}
	}
	return 0
}

// named are the processes of this machine with that name.
func named(name string) (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, file := range files {
		if comm, _ := os.ReadFile(file); strings.TrimSpace(string(comm)) == name {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
