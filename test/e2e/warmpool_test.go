// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	llmsafespace "safebeam.dev/safebeam/pkg/generated/clientset/versioned/typed/llmsafespace/v1"
	"safebeam.dev/safebeam/test/harness"
	"safebeam.dev/safebeam/test/sandboxes"
)

const poolNamespace = "warm-pools"

// pooled is a server with a pool in one namespace, and a user in another one.
type pooled struct {
	*harness.Server
	user  *sandboxes.User
	pools llmsafespace.WarmPoolInterface
	pods  llmsafespace.WarmPodInterface
}

func newPooled(t *testing.T) *pooled {
	t.Helper()
	s, _ := sandboxServer(t)
	user := sandboxes.NewUser(t, s.Config, "agent-sandboxes")
	return &pooled{s, user, user.Client.LlmsafespaceV1().WarmPools(poolNamespace), user.Client.LlmsafespaceV1().WarmPods(poolNamespace)}
}

func poolSpec(change ...func(*v1.WarmPoolSpec)) v1.WarmPoolSpec {
	spec := v1.WarmPoolSpec{
		Runtime: "python:3.10", MinSize: 2, AllowedNamespaces: []string{"agent-sandboxes"},
		Resources: &v1.Resources{Memory: ptr.To(resource.MustParse("1Gi"))},
	}
	for _, f := range change {
		f(&spec)
	}
	return spec
}

func (p *pooled) create(t *testing.T, name string, change ...func(*v1.WarmPoolSpec)) *v1.WarmPool {
	t.Helper()
	pool, err := p.pools.Create(t.Context(), &v1.WarmPool{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: poolSpec(change...)}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return pool
}

// until waits for a pool to be as wanted.
func (p *pooled) until(t *testing.T, name, what string, is func(*v1.WarmPool) bool) *v1.WarmPool {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		pool, err := p.pools.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if is(pool) {
			return pool
		}
		if time.Now().After(deadline) {
			t.Fatalf("pool %s is not %s: %+v", name, what, pool.Status)
		}
	}
}

func available(n int32) func(*v1.WarmPool) bool {
	return func(p *v1.WarmPool) bool {
		return p.Status.AvailablePods == n && p.Status.PendingPods == 0 && p.Status.ObservedGeneration == p.Generation
	}
}

// now creates a sandbox and returns it as the answer has it.
func (p *pooled) now(t *testing.T, name string, change ...func(*v1.SandboxSpec)) *v1.Sandbox {
	t.Helper()
	return p.user.Create(t, name, append([]func(*v1.SandboxSpec){func(s *v1.SandboxSpec) { s.Runtime = "python:3.10" }}, change...)...)
}

func bound(s *v1.Sandbox) metav1.Condition {
	if c := meta.FindStatusCondition(s.Status.Conditions, v1.SandboxWarmPodBound); c != nil {
		return *c
	}
	return metav1.Condition{}
}

func TestAWarmSandboxIsRunningInTheAnswerAndTheFirstExecSucceeds(t *testing.T) {
	t.Parallel()
	p := newPooled(t)
	p.create(t, "python", func(s *v1.WarmPoolSpec) {
		s.PreloadScripts = []v1.PreloadScript{
			{Name: "first", Content: `open("/workspace/preloaded", "w").write("1")`},
			{Name: "second", Content: `open("/workspace/preloaded", "a").write("2")`},
		}
	})
	p.until(t, "python", "filled", available(2))
	for i := range 5 {
		name := fmt.Sprint("s", i)
		sandbox := p.now(t, name, func(s *v1.SandboxSpec) {
			s.Env = []v1.EnvVar{{Name: "GREETING", Value: name}}
			s.Timeout = ptr.To[int32](120)
			s.Resources = &v1.Resources{Memory: ptr.To(resource.MustParse("256Mi"))}
		})
		status := sandbox.Status
		if status.Phase != v1.SandboxRunning || status.WarmPodRef == nil || status.WarmPodRef.Namespace != poolNamespace || status.PodNamespace != poolNamespace {
			t.Fatalf("the answer says %s on %+v: %+v", status.Phase, status.WarmPodRef, bound(sandbox))
		}
		if c := bound(sandbox); c.Status != metav1.ConditionTrue {
			t.Errorf("condition %+v", c)
		}
		if status.ExpiresAt == nil || status.ExpiresAt.Sub(status.StartTime.Time) != 2*time.Minute {
			t.Errorf("it expires at %s", status.ExpiresAt)
		}
		// No retry: the answer promised it.
		out, err := p.user.Exec(t.Context(), name, sandboxes.Command{Argv: []string{"sh", "-c", `echo "$GREETING" $(cat /workspace/preloaded)`}})
		if err != nil || out.Stdout != name+" 12\n" {
			t.Fatalf("the first exec: %+v, %v", out, err)
		}
		code, body, _ := p.user.File(t, http.MethodGet, name, "/workspace/preloaded", nil, nil)
		if code != http.StatusOK || string(body) != "12" {
			t.Errorf("files: %d %q", code, body)
		}
		if e := p.user.Run(t, "e-"+name, v1.ExecutionSpec{Sandbox: name, Language: "python", Code: "print(6*7)"}); e.Status.Phase != v1.ExecutionSucceeded {
			t.Errorf("an execution: %+v", e.Status)
		}
		pod, err := p.pods.Get(t.Context(), status.WarmPodRef.Name, metav1.GetOptions{})
		if err != nil || pod.Status.Phase != v1.WarmPodAssigned || pod.Status.AssignedTo != "agent-sandboxes/"+name || pod.Status.AssignedToUID != sandbox.UID {
			t.Errorf("its warm pod: %+v, %v", pod.Status, err)
		}
		p.until(t, "python", "refilled", available(2))

		// Used once, and gone.
		p.user.Gone(t, name)
		eventuallyGone(t, func() error {
			_, err := p.pods.Get(t.Context(), pod.Name, metav1.GetOptions{})
			return err
		})
	}
	if pool := p.until(t, "python", "counted", func(p *v1.WarmPool) bool { return p.Status.HitRate != nil }); *pool.Status.HitRate != 100 {
		t.Errorf("hit rate %d", *pool.Status.HitRate)
	}
}

func eventuallyGone(t *testing.T, get func() error) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if err := get(); apierrors.IsNotFound(err) {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("it is still there: %v", err)
		}
	}
}

func TestAnEmptyPoolIsNoCliff(t *testing.T) {
	t.Parallel()
	p := newPooled(t)
	p.create(t, "python")
	p.until(t, "python", "filled", available(2))
	var all sync.WaitGroup
	var mu sync.Mutex
	reasons := map[string]int{}
	for i := range 6 {
		all.Go(func() {
			sandbox := p.now(t, fmt.Sprint("s", i))
			mu.Lock()
			reasons[bound(sandbox).Reason]++
			mu.Unlock()
		})
	}
	all.Wait()
	if reasons["Bound"] < 2 || reasons["Bound"]+reasons["PoolEmpty"] != 6 {
		t.Errorf("conditions say %v", reasons)
	}
	for i := range 6 {
		p.user.Until(t, fmt.Sprint("s", i), v1.SandboxRunning)
	}
	p.until(t, "python", "refilled", available(2))
}

func TestAFieldThatForcesAColdStartIsNamedWithAWarning(t *testing.T) {
	t.Parallel()
	p := newPooled(t)
	p.create(t, "python")
	p.until(t, "python", "filled", available(2))
	warnings := &warningsSeen{}
	config := rest.CopyConfig(p.Config)
	config.WarningHandler = warnings
	client, err := versioned.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	sandbox, err := client.LlmsafespaceV1().Sandboxes("agent-sandboxes").Create(t.Context(), &v1.Sandbox{
		ObjectMeta: metav1.ObjectMeta{Name: "large"},
		Spec:       v1.SandboxSpec{Runtime: "python:3.10", Resources: &v1.Resources{Memory: ptr.To(resource.MustParse("2Gi"))}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if c := bound(sandbox); c.Reason != "NoFit" || !strings.Contains(c.Message, "spec.resources.memory: 2Gi is asked and the pod has 1Gi") {
		t.Errorf("condition %+v", c)
	}
	if all := strings.Join(warnings.all, "\n"); !strings.Contains(all, "spec.resources.memory") {
		t.Errorf("warnings: %q", all)
	}
	p.user.Until(t, "large", v1.SandboxRunning)
}

// warningsSeen keeps what the API warns of.
type warningsSeen struct{ all []string }

func (w *warningsSeen) HandleWarningHeader(_ int, _, text string) { w.all = append(w.all, text) }

func TestAPreloadThatFailsIsAConditionWithItsOutput(t *testing.T) {
	t.Parallel()
	p := newPooled(t)
	p.create(t, "broken", func(s *v1.WarmPoolSpec) {
		s.PreloadScripts = []v1.PreloadScript{{Name: "load", Content: "import sys\nprint('there is no model', file=sys.stderr)\nsys.exit(3)"}}
	})
	pool := p.until(t, "broken", "failed", func(p *v1.WarmPool) bool {
		c := meta.FindStatusCondition(p.Status.Conditions, v1.WarmPoolReady)
		return c != nil && c.Reason == "PreloadFailed"
	})
	c := meta.FindStatusCondition(pool.Status.Conditions, v1.WarmPoolReady)
	if c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, "script load: exit code 3: there is no model") {
		t.Errorf("condition %+v", c)
	}
	if sandbox := p.now(t, "s"); bound(sandbox).Reason != "PoolEmpty" {
		t.Errorf("a sandbox got a pod that is not Ready: %+v", bound(sandbox))
	}
	// Mended, it fills.
	pool.Spec.PreloadScripts[0].Content = "print('fine')"
	pool.ResourceVersion = ""
	if _, err := p.pools.Update(t.Context(), pool, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	p.until(t, "broken", "mended", available(2))
}

func TestAPoolIsScaled(t *testing.T) {
	t.Parallel()
	p := newPooled(t)
	p.create(t, "python")
	p.until(t, "python", "filled", available(2))
	for _, n := range []int32{4, 1} {
		scale, err := p.pools.GetScale(t.Context(), "python", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		scale.Spec.Replicas = n
		if scale, err = p.pools.UpdateScale(t.Context(), "python", scale, metav1.UpdateOptions{}); err != nil || scale.Spec.Replicas != n {
			t.Fatalf("%+v, %v", scale, err)
		}
		p.until(t, "python", "scaled", available(n))
		if scale, err = p.pools.GetScale(t.Context(), "python", metav1.GetOptions{}); err != nil || scale.Status.Replicas != n || scale.Status.Selector == "" {
			t.Errorf("%+v, %v", scale, err)
		}
		list, err := p.pods.List(t.Context(), metav1.ListOptions{LabelSelector: scale.Status.Selector})
		if err != nil || len(list.Items) < int(n) {
			t.Errorf("the selector finds %d pods, %v", len(list.Items), err)
		}
	}
	scale, err := p.pools.GetScale(t.Context(), "python", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	scale.Spec.Replicas = -1
	if _, err := p.pools.UpdateScale(t.Context(), "python", scale, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("to a negative size: %v", err)
	}
}

func TestAChangedPoolIsReplacedWhileItGivesPods(t *testing.T) {
	t.Parallel()
	p := newPooled(t)
	p.create(t, "python")
	pool := p.until(t, "python", "filled", available(2))
	pool.Spec.PreloadScripts = []v1.PreloadScript{{Name: "new", Content: `open("/workspace/new", "w").write("new")`}}
	changed, err := p.pools.Update(t.Context(), pool, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.until(t, "python", "replaced", func(pool *v1.WarmPool) bool {
		if pool.Status.AvailablePods < 2 {
			t.Fatalf("only %d pods are available meanwhile", pool.Status.AvailablePods)
		}
		list, err := p.pods.List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		fresh := 0
		for _, pod := range list.Items {
			if pod.Status.Phase == v1.WarmPodReady && pod.Status.PoolGeneration == changed.Generation {
				fresh++
			}
		}
		return fresh == 2 && len(list.Items) == 2
	})
	sandbox := p.now(t, "s")
	if sandbox.Status.Phase != v1.SandboxRunning {
		t.Fatalf("got %+v", bound(sandbox))
	}
	if out := p.user.Sh(t, "s", "cat /workspace/new"); out.Stdout != "new" {
		t.Errorf("got %+v", out)
	}
}

func TestADeletedPoolLeavesThePodsThatAreInUse(t *testing.T) {
	t.Parallel()
	p := newPooled(t)
	p.create(t, "python")
	p.until(t, "python", "filled", available(2))
	sandbox := p.now(t, "s")
	if err := p.pools.Delete(t.Context(), "python", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventuallyGone(t, func() error {
		_, err := p.pools.Get(t.Context(), "python", metav1.GetOptions{})
		return err
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		list, err := p.pods.List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Items) == 1 && list.Items[0].Name == sandbox.Status.WarmPodRef.Name {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d warm pods are left", len(list.Items))
		}
	}
	if out := p.user.Sh(t, "s", "echo alive"); out.Stdout != "alive\n" {
		t.Errorf("got %+v", out)
	}
	p.user.Gone(t, "s")
	eventuallyGone(t, func() error {
		_, err := p.pods.Get(t.Context(), sandbox.Status.WarmPodRef.Name, metav1.GetOptions{})
		return err
	})
	noProcesses(t, processes(t, p.Server))
}

func TestAWarmPodThatAUserMakesStaysPending(t *testing.T) {
	t.Parallel()
	p := newPooled(t)
	p.create(t, "python")
	if _, err := p.pods.Create(t.Context(), &v1.WarmPod{
		ObjectMeta: metav1.ObjectMeta{Name: "mine", Labels: map[string]string{"llmsafespace.dev/pool": "python"}},
		Spec:       v1.WarmPodSpec{PoolRef: v1.ObjectReference{Name: "python"}},
		Status:     v1.WarmPodStatus{Phase: v1.WarmPodReady},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	p.until(t, "python", "filled by its own", available(2))
	mine, err := p.pods.Get(t.Context(), "mine", metav1.GetOptions{})
	if err != nil || mine.Status.Phase != v1.WarmPodPending {
		t.Errorf("%+v, %v", mine.Status, err)
	}
	if err := p.pods.Delete(t.Context(), "mine", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
}

// ready are the names of the pods that wait for a sandbox.
func (p *pooled) ready(t *testing.T) (names []string) {
	t.Helper()
	list, err := p.pods.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range list.Items {
		if pod.Status.Phase == v1.WarmPodReady {
			names = append(names, pod.Name)
		}
	}
	return names
}

func TestAServerThatIsKilledAmongClaimsHandsOutNoPodTwice(t *testing.T) {
	t.Parallel()
	p := newPooled(t)
	p.create(t, "python", func(s *v1.WarmPoolSpec) { s.MinSize, s.Runtime = 10, "bash" })
	p.until(t, "python", "filled", available(10))
	before := map[string]bool{}
	for _, pod := range p.ready(t) {
		before[pod] = true
	}
	var all sync.WaitGroup
	first := make(chan struct{}, 40)
	ctx, cancel := context.WithCancel(t.Context())
	for i := range 20 {
		all.Go(func() {
			_, _ = p.user.Client.LlmsafespaceV1().Sandboxes("agent-sandboxes").Create(ctx, sandboxes.New(fmt.Sprint("s", i), func(s *v1.SandboxSpec) { s.Runtime = "bash" }), metav1.CreateOptions{})
			first <- struct{}{}
		})
	}
	for range 4 {
		<-first
	}
	p.Kill()
	cancel()
	all.Wait()
	p.Restart()
	// Local pods die with their server: the sandboxes that had one are Lost, the
	// others are made, and the pool is filled with new ones. Its status may be that
	// of before the kill for a moment.
	p.until(t, "python", "filled again", func(pool *v1.WarmPool) bool {
		fresh := 0
		for _, pod := range p.ready(t) {
			if !before[pod] {
				fresh++
			}
		}
		return available(10)(pool) && fresh >= 10
	})
	list, err := p.user.Client.LlmsafespaceV1().Sandboxes("agent-sandboxes").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	owners := map[string]string{}
	for _, sandbox := range list.Items {
		if ref := sandbox.Status.WarmPodRef; ref != nil {
			if other := owners[ref.Name]; other != "" {
				t.Errorf("%s and %s had pod %s", other, sandbox.Name, ref.Name)
			}
			owners[ref.Name] = sandbox.Name
			if ended := p.user.Until(t, sandbox.Name, v1.SandboxLost); ended.Status.Reason != "LauncherRestarted" {
				t.Errorf("%s ended as %s", sandbox.Name, ended.Status.Reason)
			}
		}
	}
	for name := range owners {
		eventuallyGone(t, func() error {
			_, err := p.pods.Get(t.Context(), name, metav1.GetOptions{})
			return err
		})
	}
	if sandbox := p.now(t, "after", func(s *v1.SandboxSpec) { s.Runtime = "bash" }); sandbox.Status.Phase != v1.SandboxRunning {
		t.Errorf("a claim after the restart: %+v", bound(sandbox))
	}
}
