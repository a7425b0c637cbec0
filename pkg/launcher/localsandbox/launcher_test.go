// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package localsandbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/launcher"
	"safebeam.dev/safebeam/pkg/launcher/bubblewrap"
)

type fakeProcess struct {
	once    sync.Once
	dialled chan struct{}
	done    chan struct{}
	err     error
}

func (p *fakeProcess) Dialled() <-chan struct{} { return p.dialled }

func (p *fakeProcess) Done() <-chan struct{} { return p.done }
func (p *fakeProcess) Err() error            { return p.err }
func (p *fakeProcess) Limits() []string      { return []string{"memory"} }
func (p *fakeProcess) end(err error)         { p.once.Do(func() { p.err = err; close(p.done) }) }

type fakeMachine struct {
	started chan bubblewrap.Spec
	process chan *fakeProcess
	err     error
}

func (m *fakeMachine) Start(ctx context.Context, spec bubblewrap.Spec) (Process, error) {
	m.started <- spec
	if m.err != nil {
		return nil, m.err
	}
	p := &fakeProcess{dialled: make(chan struct{}), done: make(chan struct{})}
	context.AfterFunc(ctx, func() { p.end(errors.New("killed")) })
	m.process <- p
	return p, nil
}

type fakeTokens struct {
	mu   sync.Mutex
	good map[string]types.UID
}

func (f *fakeTokens) Issue(pod types.UID) (string, func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	token := fmt.Sprintf("token-of-%s", pod)
	f.good[token] = pod
	return token, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.good, token)
	}
}

func (f *fakeTokens) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.good)
}

type world struct {
	*Launcher
	t       *testing.T
	machine *fakeMachine
	tokens  *fakeTokens
	changes chan launcher.Pod
	end     func()
}

func begin(t *testing.T, maxPods int) *world {
	t.Helper()
	w := &world{
		t: t, machine: &fakeMachine{started: make(chan bubblewrap.Spec, 10), process: make(chan *fakeProcess, 10)},
		tokens: &fakeTokens{good: map[string]types.UID{}}, changes: make(chan launcher.Pod, 100),
	}
	w.Launcher = New(Options{Machine: w.machine, Tokens: w.tokens, Node: "node", MaxPods: maxPods, MaxStarts: 2})
	w.OnChange(func(pod launcher.Pod) { w.changes <- pod })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = w.Run(ctx) }()
	w.end = func() { cancel(); <-done }
	t.Cleanup(w.end)
	return w
}

func (w *world) until(phase launcher.PodPhase) launcher.Pod {
	w.t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		select {
		case pod := <-w.changes:
			if pod.Phase == phase {
				return pod
			}
		case <-timeout:
			w.t.Fatalf("no pod became %s", phase)
		}
	}
}

func specOf(name string) launcher.PodSpec {
	return launcher.PodSpec{
		Name: name, Namespace: "ns", Owner: launcher.Owner{Kind: launcher.OwnerSandbox, Namespace: "ns", Name: name, UID: types.UID("uid-of-" + name)},
		SecurityLevel: llmsafespacev1.SecurityStandard,
		Resources: llmsafespacev1.Resources{
			CPU: ptr.To(resource.MustParse("250m")), Memory: ptr.To(resource.MustParse("128Mi")), EphemeralStorage: ptr.To(resource.MustParse("64Mi")),
		},
		Filesystem:      llmsafespacev1.Filesystem{ReadOnlyRoot: ptr.To(true), WritablePaths: []string{"/tmp", "/data", "/workspace"}},
		SecurityContext: llmsafespacev1.SecurityContext{RunAsUser: ptr.To[int64](7), RunAsGroup: ptr.To[int64](8)},
	}
}

func TestAPodIsWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	w := begin(t, 0)
	pod, err := w.Launch(t.Context(), specOf("one"))
	if err != nil {
		t.Fatal(err)
	}
	got := <-w.machine.started
	want := bubblewrap.Spec{
		Name: string(pod.UID), Token: "token-of-" + string(pod.UID), User: 7, Group: 8,
		MemoryBytes: 128 << 20, MilliCPU: 250, DiskBytes: 64 << 20, WritablePaths: []string{"/workspace", "/data", "/tmp"},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	running := w.until(launcher.PodRunning)
	if running.Node != "node" || !running.Started || !slices.ContainsFunc(running.Notes, func(n string) bool { return strings.Contains(n, "cpu, pids") }) {
		t.Errorf("%+v", running)
	}
	if again, err := w.Launch(t.Context(), specOf("one")); err != nil || again.UID != pod.UID || len(w.machine.started) != 0 {
		t.Errorf("launched again: %+v, %v", again, err)
	}
	other := specOf("one")
	other.Owner.UID = "another"
	if _, err := w.Launch(t.Context(), other); err == nil {
		t.Error("another owner got the pod")
	}
}

func TestAPodThatEndsStaysUntilItIsDeletedAndItsTokenDoesNot(t *testing.T) {
	t.Parallel()
	w := begin(t, 0)
	pod, err := w.Launch(t.Context(), specOf("one"))
	if err != nil {
		t.Fatal(err)
	}
	(<-w.machine.process).end(errors.New("sandboxd: no more"))
	ended := w.until(launcher.PodEnded)
	if ended.Reason != launcher.ReasonAgentFailed || !strings.Contains(ended.Message, "no more") || w.tokens.count() != 0 {
		t.Errorf("%+v, %d tokens", ended, w.tokens.count())
	}
	if err := w.Delete(t.Context(), "ns", "one", "another-uid"); err != nil || len(w.Pods()) != 1 {
		t.Errorf("another one's deletion: %v, %+v", err, w.Pods())
	}
	for range 2 {
		if err := w.Delete(t.Context(), "ns", "one", pod.UID); err != nil {
			t.Error(err)
		}
	}
	w.until(launcher.PodGone)
	if _, ok := w.Pod("ns", "one"); ok {
		t.Error("it is still known")
	}
}

func TestADeletedPodIsKilledAndNoLoss(t *testing.T) {
	t.Parallel()
	w := begin(t, 0)
	pod, err := w.Launch(t.Context(), specOf("one"))
	if err != nil {
		t.Fatal(err)
	}
	w.until(launcher.PodRunning)
	if err := w.Delete(t.Context(), "ns", "one", pod.UID); err != nil {
		t.Fatal(err)
	}
	if gone := w.until(launcher.PodGone); gone.Reason != "" || len(w.Pods()) != 0 || w.tokens.count() != 0 {
		t.Errorf("%+v", gone)
	}
}

func TestAPodThatDoesNotStartSaysWhy(t *testing.T) {
	t.Parallel()
	w := begin(t, 0)
	w.machine.err = errors.New("bwrap: no")
	if _, err := w.Launch(t.Context(), specOf("one")); err != nil {
		t.Fatal(err)
	}
	if ended := w.until(launcher.PodEnded); ended.Started || !strings.Contains(ended.Message, "bwrap: no") {
		t.Errorf("%+v", ended)
	}
}

func TestTheMachineIsFullAtItsLimit(t *testing.T) {
	t.Parallel()
	w := begin(t, 1)
	if _, err := w.Launch(t.Context(), specOf("one")); err != nil {
		t.Fatal(err)
	}
	_, err := w.Launch(t.Context(), specOf("two"))
	var refusal *launcher.Refusal
	if !errors.As(err, &refusal) || refusal.Reason != launcher.ReasonUnschedulable {
		t.Fatalf("%v", err)
	}
	if err := w.Delete(t.Context(), "ns", "one", ""); err != nil {
		t.Fatal(err)
	}
	w.until(launcher.PodGone)
	if _, err := w.Launch(t.Context(), specOf("two")); err != nil {
		t.Error(err)
	}
}

func TestPodsEndWithTheLauncher(t *testing.T) {
	t.Parallel()
	w := begin(t, 0)
	for _, name := range []string{"one", "two"} {
		if _, err := w.Launch(t.Context(), specOf(name)); err != nil {
			t.Fatal(err)
		}
	}
	one, two := <-w.machine.process, <-w.machine.process
	w.end()
	<-one.done
	<-two.done
	if _, err := w.Launch(t.Context(), specOf("three")); err == nil || w.tokens.count() != 0 {
		t.Errorf("%v, %d tokens", err, w.tokens.count())
	}
}

func TestRuntimesAreWhatThisMachineHas(t *testing.T) {
	t.Parallel()
	for _, environment := range Runtimes(t.Context(), "/") {
		spec := environment.Spec
		if spec.Language == "" || spec.Version == "" || environment.Labels[LabelLauncher] != LauncherName || slices.Contains(spec.ServesVersions, spec.Version) {
			t.Errorf("%+v", environment)
		}
	}
	if found := Runtimes(t.Context(), t.TempDir()); len(found) != 0 {
		t.Errorf("an empty machine has %+v", found)
	}
}

func TestOlderVersionsAreServed(t *testing.T) {
	t.Parallel()
	if got := olderMinors(8)("3.11"); !slices.Equal(got, []string{"3", "3.8", "3.9", "3.10"}) {
		t.Errorf("%v", got)
	}
	if got := olderMajors(16)("18"); !slices.Equal(got, []string{"16", "17"}) {
		t.Errorf("%v", got)
	}
	judge := Judge([]llmsafespacev1.RuntimeEnvironment{{Spec: llmsafespacev1.RuntimeEnvironmentSpec{Language: "python", Version: "3.11", ServesVersions: []string{"3.10"}}}})
	for _, tc := range []struct {
		language, version string
		available         bool
	}{
		{"python", "3.11", true}, {"python", "3.10", true}, {"python", "", true}, {"python", "3.12", false}, {"cobol", "85", false},
	} {
		available, message := judge(&llmsafespacev1.RuntimeEnvironment{Spec: llmsafespacev1.RuntimeEnvironmentSpec{Language: tc.language, Version: tc.version}})
		if available != tc.available || available == (message != "") {
			t.Errorf("%s %s: %v, %q", tc.language, tc.version, available, message)
		}
	}
}
