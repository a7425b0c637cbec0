// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package llmjob

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/controller/turns"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned/fake"
	informers "safebeam.dev/safebeam/pkg/generated/informers/externalversions/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/launcher"
)

// launches is a launcher whose jobs do what the test says. Every call that
// changes something is told on events.
type launches struct {
	clock  *clocktesting.FakeClock
	events chan string

	mu       sync.Mutex
	notify   func(cache.ObjectName)
	jobs     []launcher.Job
	revision string
	refusal  error
	broken   error
	// opened: somebody has opened the network of running jobs.
	opened bool
}

func (l *launches) Revision(launcher.JobSpec) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.revision, l.refusal
}

func (l *launches) Launch(_ context.Context, j launcher.Job) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		l.events <- "broken launch of " + j.Spec.Model
		return l.broken
	}
	j.StartTime = l.clock.Now()
	l.jobs = append(l.jobs, j)
	l.events <- "launch of " + j.Spec.Model
	return nil
}

func (l *launches) List(model cache.ObjectName) (jobs []launcher.Job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, j := range l.jobs {
		if j.Spec.Model == model.Name && j.Spec.Namespace == model.Namespace {
			jobs = append(jobs, j)
		}
	}
	return jobs
}

func (l *launches) Models() (models []cache.ObjectName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, j := range l.jobs {
		models = append(models, cache.ObjectName{Namespace: j.Spec.Namespace, Name: j.Spec.Model})
	}
	return models
}

func (l *launches) Stop(_ context.Context, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.jobs {
		if l.jobs[i].Name == name {
			l.jobs[i].Stopping = true
			l.events <- "stop of " + l.jobs[i].Spec.Model
		}
	}
	return nil
}

func (l *launches) Forget(_ context.Context, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.jobs = slices.DeleteFunc(l.jobs, func(j launcher.Job) bool { return j.Name == name })
	return nil
}

func (l *launches) Enclose(_ context.Context, model cache.ObjectName, uid types.UID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.opened {
		l.opened = false
		l.events <- fmt.Sprintf("enclosure of %s %q", model.Name, uid)
	}
	return nil
}

func (l *launches) Notify(changed func(cache.ObjectName)) { l.notify = changed }

// change changes the launcher's world and tells of it.
func (l *launches) change(model string, f func()) {
	l.mu.Lock()
	f()
	l.mu.Unlock()
	l.notify(cache.ObjectName{Namespace: "ns", Name: model})
}

// exit ends the live jobs.
func (l *launches) exit(model, reason, message string) {
	l.change(model, func() {
		for i := range l.jobs {
			if l.jobs[i].Exit == nil {
				l.jobs[i].Exit = &launcher.Exit{Time: l.clock.Now(), Reason: reason, Message: message}
			}
		}
	})
}

type world struct {
	t      *testing.T
	client *fake.Clientset
	clock  *clocktesting.FakeClock
	*launches
	patches chan string
}

// begin runs a controller over the objects.
func begin(t *testing.T, existing []launcher.Job, models ...*tightbeamv1.TightbeamModel) *world {
	t.Helper()
	w := &world{t: t, client: fake.NewSimpleClientset(), clock: clocktesting.NewFakeClock(t0), patches: make(chan string, 100)}
	w.launches = &launches{clock: w.clock, events: make(chan string, 100), jobs: existing}
	// The fake counts no versions, and the controller goes by them.
	w.client.PrependReactor("patch", "tightbeammodels", func(action clienttesting.Action) (bool, runtime.Object, error) {
		w.patches <- action.GetSubresource()
		_, obj, err := clienttesting.ObjectReaction(w.client.Tracker())(action)
		if err != nil {
			return true, nil, err
		}
		model := obj.(*tightbeamv1.TightbeamModel)
		version, _ := strconv.Atoi(model.ResourceVersion)
		model.ResourceVersion = strconv.Itoa(version + 1)
		return true, model, w.client.Tracker().Update(action.GetResource(), model, model.Namespace)
	})
	for _, model := range models {
		if _, err := w.client.TightbeamV1().TightbeamModels("ns").Create(t.Context(), model, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	modelInformer := informers.NewTightbeamModelInformer(w.client, metav1.NamespaceAll, 0, cache.Indexers{})
	unfinished := turns.NewUnfinishedInformer(w.client)
	controller, err := New(Options{
		Client: w.client, Models: modelInformer, Unfinished: unfinished,
		Launcher: w.launches, Clock: w.clock, IdleTimeout: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { modelInformer.RunWithContext(ctx) })
	running.Go(func() { unfinished.RunWithContext(ctx) })
	running.Go(func() {
		if err := controller.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return w
}

func (w *world) expect(events ...string) {
	w.t.Helper()
	for _, want := range events {
		select {
		case got := <-w.events:
			if got != want {
				w.t.Fatalf("%s, want %s", got, want)
			}
		case <-time.After(10 * time.Second):
			w.t.Fatalf("nothing happened, want %s", want)
		}
	}
}

// quiet makes sure that whatever was under way has led to nothing.
func (w *world) quiet() {
	w.t.Helper()
	select {
	case got := <-w.events:
		w.t.Fatalf("%s, want nothing", got)
	case <-time.After(50 * time.Millisecond):
	}
}

// condition waits until the model's condition Ready has the reason.
func (w *world) condition(model, reason string) metav1.Condition {
	w.t.Helper()
	var got *metav1.Condition
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		m, err := w.client.TightbeamV1().TightbeamModels("ns").Get(w.t.Context(), model, metav1.GetOptions{})
		if err != nil {
			w.t.Fatal(err)
		}
		if got = meta.FindStatusCondition(m.Status.Conditions, conditionReady); got != nil && got.Reason == reason {
			return *got
		}
	}
	w.t.Fatalf("condition Ready is %+v, want reason %s", got, reason)
	panic("unreachable")
}

func (w *world) create(turn *tightbeamv1.Turn) {
	w.t.Helper()
	if _, err := w.client.TightbeamV1().Turns("ns").Create(w.t.Context(), turn, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// passes advances the clock once something waits for it.
func (w *world) passes(d time.Duration) {
	w.t.Helper()
	const heartbeats = 1 // of the queues, which always wait for the clock
	for deadline := time.Now().Add(10 * time.Second); w.clock.Waiters() <= heartbeats; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatal("nobody waits for the clock")
		}
	}
	w.clock.Step(d)
}

func aModel(name string, jobs *tightbeamv1.ModelJobs) *tightbeamv1.TightbeamModel {
	return &tightbeamv1.TightbeamModel{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID("uid-of-" + name), Generation: 1, ResourceVersion: "1"},
		Spec:       tightbeamv1.TightbeamModelSpec{Provider: tightbeamv1.ProviderEcho, Model: "e", Jobs: jobs},
	}
}

func TestJobsAreClosedInAgainWhateverBecomesOfTheirModel(t *testing.T) {
	t.Parallel()
	w := begin(t, nil, aModel("m", &tightbeamv1.ModelJobs{Min: ptr.To[int32](1)}))
	w.expect("launch of m")
	w.change("m", func() { w.opened = true })
	w.expect(`enclosure of m "uid-of-m"`)
	if err := w.client.TightbeamV1().TightbeamModels("ns").Delete(w.t.Context(), "m", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.expect("stop of m")
	w.change("m", func() { w.opened = true })
	w.expect(`enclosure of m ""`)
}

func TestTurnLaunchesAJob(t *testing.T) {
	t.Parallel()
	w := begin(t, nil, aModel("m", nil))
	if got := w.condition("m", reasonAvailable); got.Status != metav1.ConditionTrue || got.ObservedGeneration != 1 {
		t.Errorf("condition Ready is %+v", got)
	}
	w.create(aTurn("a", "c", 1, tightbeamv1.TurnQueued, "m"))
	w.expect("launch of m")
	w.create(aTurn("b", "d", 1, tightbeamv1.TurnQueued, "m"))
	w.quiet()
	jobs := w.List(cache.ObjectName{Namespace: "ns", Name: "m"})
	want := launcher.JobSpec{Namespace: "ns", Model: "m", ModelUID: "uid-of-m", IdleTimeout: time.Minute, TurnsPerJob: 8}
	if len(jobs) != 1 || jobs[0].Spec.Hash() != want.Hash() || jobs[0].Warm {
		t.Errorf("jobs are %+v", jobs)
	}
	// One write for the condition, none for all that happened since.
	if len(w.patches) != 1 || <-w.patches != "status" {
		t.Errorf("%d more writes", len(w.patches))
	}
}

func TestNextTurnOfAConversationLaunchesItsOwnModelsJob(t *testing.T) {
	t.Parallel()
	w := begin(t, nil, aModel("m", nil), aModel("n", nil))
	w.create(aTurn("a", "c", 1, tightbeamv1.TurnQueued, "m"))
	w.create(aTurn("b", "c", 2, tightbeamv1.TurnQueued, "n"))
	w.expect("launch of m")
	w.quiet()
	if err := w.client.TightbeamV1().Turns("ns").Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.expect("launch of n")
}

func TestMinKeepsJobsWarm(t *testing.T) {
	t.Parallel()
	w := begin(t, nil, aModel("m", jobsSpec(2, 2, 8)))
	w.expect("launch of m", "launch of m")
	w.exit("m", launcher.ReasonCompleted, "")
	w.expect("launch of m", "launch of m")
	for _, j := range w.List(cache.ObjectName{Namespace: "ns", Name: "m"}) {
		if !j.Warm {
			t.Errorf("job %+v is not kept", j)
		}
	}
}

func TestFailuresAreToldAndBackOff(t *testing.T) {
	t.Parallel()
	w := begin(t, nil, aModel("m", nil))
	w.create(aTurn("a", "c", 1, tightbeamv1.TurnQueued, "m"))
	w.expect("launch of m")
	w.exit("m", launcher.ReasonSecretInvalid, `key "api-key" is missing`)
	got := w.condition("m", launcher.ReasonSecretInvalid)
	if got.Status != metav1.ConditionFalse || got.Message != `key "api-key" is missing` {
		t.Errorf("condition Ready is %+v", got)
	}
	w.quiet()
	w.passes(time.Second)
	w.expect("launch of m")
	w.exit("m", launcher.ReasonJobFailed, "out of luck")
	w.condition("m", launcher.ReasonJobFailed)
	w.passes(time.Second)
	w.quiet() // the second wait is twice as long
	w.passes(time.Second)
	w.expect("launch of m")
	w.condition("m", launcher.ReasonJobFailed) // until the job has shown that it works
	w.passes(provenAfter)
	w.condition("m", reasonAvailable)
}

func TestMendedSecretIsTriedAtOnce(t *testing.T) {
	t.Parallel()
	w := begin(t, nil, aModel("m", nil))
	w.create(aTurn("a", "c", 1, tightbeamv1.TurnQueued, "m"))
	w.expect("launch of m")
	w.exit("m", launcher.ReasonSecretInvalid, `key "api-key" is missing`)
	w.condition("m", launcher.ReasonSecretInvalid)
	w.change("m", func() { w.revision = "2" })
	w.expect("launch of m")
	w.condition("m", reasonAvailable)
}

func TestRefusalIsToldAndHeals(t *testing.T) {
	t.Parallel()
	w := begin(t, nil)
	w.refusal = &launcher.Refusal{Reason: launcher.ReasonSecretNotFound, Message: `Secret "s" not found`}
	if _, err := w.client.TightbeamV1().TightbeamModels("ns").Create(t.Context(), aModel("m", nil), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.create(aTurn("a", "c", 1, tightbeamv1.TurnQueued, "m"))
	if got := w.condition("m", launcher.ReasonSecretNotFound); got.Message != `Secret "s" not found` {
		t.Errorf("condition Ready is %+v", got)
	}
	w.quiet()
	w.change("m", func() { w.refusal = nil })
	w.expect("launch of m")
	w.condition("m", reasonAvailable)
}

func TestFailedLaunchIsAFailureOfTheModel(t *testing.T) {
	t.Parallel()
	w := begin(t, nil, aModel("m", nil))
	w.change("m", func() { w.broken = errors.New("no such file") })
	w.create(aTurn("a", "c", 1, tightbeamv1.TurnQueued, "m"))
	w.expect("broken launch of m")
	w.condition("m", launcher.ReasonJobFailed)
	w.mu.Lock()
	w.broken = nil
	w.mu.Unlock()
	w.passes(time.Second)
	w.expect("launch of m")
}

func TestChangedModelReplacesItsJob(t *testing.T) {
	t.Parallel()
	w := begin(t, nil, aModel("m", nil))
	w.create(aTurn("a", "c", 1, tightbeamv1.TurnQueued, "m"))
	w.expect("launch of m")
	changed := aModel("m", nil)
	changed.Generation, changed.ResourceVersion = 2, "20"
	changed.Spec.SecretName = "another"
	if _, err := w.client.TightbeamV1().TightbeamModels("ns").Update(t.Context(), changed, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.expect("launch of m", "stop of m")
	// What is sent with each turn needs no new job.
	changed.Generation, changed.ResourceVersion = 3, "30"
	changed.Spec.MaxTokens = ptr.To[int32](7)
	if _, err := w.client.TightbeamV1().TightbeamModels("ns").Update(t.Context(), changed, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.quiet()
}

func TestDeletedModelLosesItsJobs(t *testing.T) {
	t.Parallel()
	w := begin(t, nil, aModel("m", jobsSpec(1, 1, 1)))
	w.expect("launch of m")
	if err := w.client.TightbeamV1().TightbeamModels("ns").Delete(t.Context(), "m", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.expect("stop of m")
}

func TestJobsOfAModelThatWentAwayUnseenAreStopped(t *testing.T) {
	t.Parallel()
	w := begin(t, []launcher.Job{{Name: "left", Spec: launcher.JobSpec{Namespace: "ns", Model: "gone"}}})
	w.expect("stop of gone")
}

func TestRestartedControllerGoesOnWithTheJobsThatAreThere(t *testing.T) {
	t.Parallel()
	spec := launcher.JobSpec{Namespace: "ns", Model: "m", ModelUID: "uid-of-m", IdleTimeout: time.Minute, TurnsPerJob: 8}
	w := begin(t, []launcher.Job{{Name: "left", Spec: spec, StartTime: t0}}, aModel("m", nil))
	w.create(aTurn("a", "c", 1, tightbeamv1.TurnQueued, "m"))
	w.condition("m", reasonAvailable)
	w.quiet()
}

func TestBackingOffTurnLaunchesWhenItsTimeHasCome(t *testing.T) {
	t.Parallel()
	w := begin(t, nil, aModel("m", nil))
	turn := aTurn("a", "c", 1, tightbeamv1.TurnQueued, "m")
	turn.Status.NotBefore = ptr.To(metav1.NewMicroTime(at(30)))
	w.create(turn)
	w.quiet()
	w.passes(30 * time.Second)
	w.expect("launch of m")
}

func TestManyModelsKeepToThemselves(t *testing.T) {
	t.Parallel()
	var models []*tightbeamv1.TightbeamModel
	for i := range 20 {
		models = append(models, aModel(fmt.Sprint("m", i), nil))
	}
	w := begin(t, nil, models...)
	for i := range 20 {
		w.create(aTurn(fmt.Sprint("t", i), fmt.Sprint("c", i), 1, tightbeamv1.TurnQueued, fmt.Sprint("m", i)))
		w.expect(fmt.Sprint("launch of m", i))
	}
	w.quiet()
}
