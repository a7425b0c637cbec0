// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package llmjob

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/launcher"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(seconds int) time.Time { return t0.Add(time.Duration(seconds) * time.Second) }

func jobsSpec(minimum, maximum, perJob int32) *tightbeamv1.ModelJobs {
	return &tightbeamv1.ModelJobs{Min: &minimum, Max: &maximum, TurnsPerJob: &perJob}
}

func TestDesiredJobs(t *testing.T) {
	for _, test := range []struct {
		jobs        *tightbeamv1.ModelJobs
		turns, want int
	}{
		{nil, 0, 0},
		{nil, 1, 1},
		{nil, 100, 1},
		{jobsSpec(0, 4, 8), 8, 1},
		{jobsSpec(0, 4, 8), 9, 2},
		{jobsSpec(0, 4, 8), 1000, 4},
		{jobsSpec(2, 4, 8), 0, 2},
		{jobsSpec(2, 4, 8), 17, 3},
		{jobsSpec(0, 0, 8), 5, 0},
		{jobsSpec(3, 1, 8), 5, 3},
		{jobsSpec(0, 3, 0), 2, 2},
	} {
		if got := desiredJobs(test.jobs, test.turns); got != test.want {
			t.Errorf("desiredJobs(%+v, %d) = %d, want %d", test.jobs, test.turns, got, test.want)
		}
	}
}

var (
	current  = launcher.JobSpec{Namespace: "ns", Model: "m", TurnsPerJob: 8}
	outdated = launcher.JobSpec{Namespace: "ns", Model: "m", TurnsPerJob: 4}
)

type option func(*launcher.Job)

func kept(j *launcher.Job)         { j.Warm = true }
func stopping(j *launcher.Job)     { j.Stopping = true }
func isOutdated(j *launcher.Job)   { j.Spec = outdated }
func started(second int) option    { return func(j *launcher.Job) { j.StartTime = at(second) } }
func failedAt(second int) option   { return exited(second, launcher.ReasonJobFailed) }
func finishedAt(second int) option { return exited(second, launcher.ReasonCompleted) }

func exited(second int, reason string) option {
	return func(j *launcher.Job) {
		j.Exit = &launcher.Exit{Time: at(second), Reason: reason, Message: "said " + j.Name}
	}
}

func aJob(name string, options ...option) launcher.Job {
	j := launcher.Job{Name: name, Spec: current, StartTime: at(-100)}
	for _, o := range options {
		o(&j)
	}
	return j
}

func TestPlan(t *testing.T) {
	type jobs = []launcher.Job
	once := history{failures: 1, last: launcher.Exit{Time: t0}}
	for _, test := range []struct {
		name    string
		spec    *tightbeamv1.ModelJobs
		demand  demand
		jobs    jobs
		history history
		refused bool
		now     time.Time
		want    plan
	}{{
		name: "no turn, no job",
	}, {
		name:   "a waiting turn launches a job at once",
		demand: demand{runnable: 1},
		want:   plan{launch: 1},
	}, {
		name:   "a job that is there is enough",
		demand: demand{runnable: 5, running: 3},
		jobs:   jobs{aJob("a")},
	}, {
		name:   "more turns than one job holds launch another",
		spec:   jobsSpec(0, 3, 8),
		demand: demand{runnable: 9, running: 8},
		jobs:   jobs{aJob("a")},
		want:   plan{launch: 2},
	}, {
		name: "jobs without turns leave by themselves",
		spec: jobsSpec(0, 3, 8),
		jobs: jobs{aJob("a"), aJob("b")},
	}, {
		name: "min is kept warm",
		spec: jobsSpec(2, 3, 8),
		jobs: jobs{aJob("a", kept)},
		want: plan{launchWarm: 1},
	}, {
		name: "a job with an idle timeout does not count as warm",
		spec: jobsSpec(1, 3, 8),
		jobs: jobs{aJob("a")},
		want: plan{launchWarm: 1},
	}, {
		name: "but is not pushed out to make room for one",
		spec: jobsSpec(1, 1, 8),
		jobs: jobs{aJob("a")},
	}, {
		name: "a lowered min lets warm jobs go, the newest first",
		spec: jobsSpec(1, 3, 8),
		jobs: jobs{aJob("a", kept, started(-2)), aJob("b", kept, started(-1))},
		want: plan{stop: []string{"b"}},
	}, {
		name:   "a lowered max lets the job go that holds the fewest turns",
		spec:   jobsSpec(0, 1, 8),
		demand: demand{running: 2, holders: map[string]int{"b": 2}},
		jobs:   jobs{aJob("a", started(-2)), aJob("b", started(-1))},
		want:   plan{stop: []string{"a"}},
	}, {
		name:   "an outdated job is replaced without waiting for its end",
		demand: demand{running: 1},
		jobs:   jobs{aJob("a", isOutdated)},
		want:   plan{launch: 1, stop: []string{"a"}},
	}, {
		name:   "a job that was asked to leave does not count",
		demand: demand{runnable: 1},
		jobs:   jobs{aJob("a", stopping)},
		want:   plan{launch: 1},
	}, {
		name:   "an exited job is forgotten and replaced if there is work",
		demand: demand{runnable: 1},
		jobs:   jobs{aJob("a", finishedAt(-1))},
		want:   plan{launch: 1, forget: []string{"a"}},
	}, {
		name:    "after a failure the next job waits",
		demand:  demand{runnable: 1},
		history: once,
		want:    plan{again: at(1)},
	}, {
		name:    "then one goes ahead",
		spec:    jobsSpec(0, 3, 1),
		demand:  demand{runnable: 3},
		history: once,
		now:     at(1),
		want:    plan{launch: 1},
	}, {
		name:    "and the others follow when it works",
		spec:    jobsSpec(0, 3, 1),
		demand:  demand{runnable: 3},
		history: once,
		now:     at(2),
		jobs:    jobs{aJob("a", started(1))},
		want:    plan{again: at(6)},
	}, {
		name:    "a job that was there before the failure does not hold the next try up",
		spec:    jobsSpec(0, 3, 1),
		demand:  demand{runnable: 3},
		history: once,
		now:     at(2),
		jobs:    jobs{aJob("a", started(-9))},
		want:    plan{launch: 1},
	}, {
		name:    "warm jobs are tried one at a time after a failure, too",
		spec:    jobsSpec(3, 3, 1),
		history: once,
		now:     at(1),
		want:    plan{launchWarm: 1},
	}, {
		name:   "a turn that backs off needs a job when its time has come",
		demand: demand{next: at(7)},
		want:   plan{again: at(7)},
	}, {
		name:    "a refused model launches nothing and keeps what it has",
		spec:    jobsSpec(0, 3, 1),
		demand:  demand{runnable: 3},
		jobs:    jobs{aJob("a", isOutdated), aJob("b", finishedAt(-1))},
		refused: true,
		want:    plan{forget: []string{"b"}},
	}} {
		t.Run(test.name, func(t *testing.T) {
			if test.now.IsZero() {
				test.now = t0
			}
			got := makePlan(state{
				model:   &tightbeamv1.TightbeamModel{Spec: tightbeamv1.TightbeamModelSpec{Jobs: test.spec}},
				hash:    current.Hash(),
				refused: test.refused,
				demand:  test.demand,
				jobs:    test.jobs,
				history: test.history,
				now:     test.now,
			})
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(plan{})); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// The law behind the cases: whatever the state, one pass of the plan leads to
// a state in which the plan wants nothing more at once.
func TestPlanSettles(t *testing.T) {
	for _, spec := range []*tightbeamv1.ModelJobs{nil, jobsSpec(0, 3, 2), jobsSpec(2, 3, 2), jobsSpec(2, 2, 1), jobsSpec(0, 0, 1)} {
		for turns := range 10 {
			for existing := range 5 {
				for failures := range 3 {
					s := state{
						model:   &tightbeamv1.TightbeamModel{Spec: tightbeamv1.TightbeamModelSpec{Jobs: spec}},
						hash:    current.Hash(),
						demand:  demand{runnable: turns},
						history: history{failures: failures, last: launcher.Exit{Time: at(-100)}},
						now:     t0,
					}
					for i := range existing {
						j := aJob(fmt.Sprint("old-", i), started(-i))
						j.Warm = i%2 == 0
						s.jobs = append(s.jobs, j)
					}
					s.jobs = carryOut(s.jobs, makePlan(s))
					again := makePlan(s)
					if again.launch+again.launchWarm+len(again.stop)+len(again.forget) != 0 {
						t.Errorf("jobs %+v, %d turns, %d existing, %d failures: a second pass wants %+v", spec, turns, existing, failures, again)
					}
					_, maximum, _ := limits(spec)
					if live := liveJobs(s.jobs); live > maximum {
						t.Errorf("jobs %+v, %d turns, %d existing: %d jobs", spec, turns, existing, live)
					}
				}
			}
		}
	}
}

func carryOut(jobs []launcher.Job, p plan) []launcher.Job {
	var next []launcher.Job
	for _, j := range jobs {
		switch {
		case contains(p.forget, j.Name):
			continue
		case contains(p.stop, j.Name):
			j.Stopping = true
		}
		next = append(next, j)
	}
	for i := range p.launch + p.launchWarm {
		j := aJob(fmt.Sprint("new-", i), started(0))
		j.Warm = i < p.launchWarm
		next = append(next, j)
	}
	return next
}

func contains(names []string, name string) bool {
	return strings.Contains(" "+strings.Join(names, " ")+" ", " "+name+" ")
}

func liveJobs(jobs []launcher.Job) int {
	n := 0
	for _, j := range jobs {
		if j.Live() {
			n++
		}
	}
	return n
}

func TestFailuresBackOffUpToABound(t *testing.T) {
	h := history{}
	previous := time.Duration(0)
	for n := 1; n <= 100; n++ {
		h = h.failed(launcher.Exit{Time: t0})
		delay := h.notBefore().Sub(t0)
		if delay < previous || delay > maxBackoff || n == 1 && delay != minBackoff {
			t.Fatalf("after %d failures the wait is %s, it was %s", n, delay, previous)
		}
		previous = delay
	}
	if previous != maxBackoff {
		t.Errorf("the wait ends up at %s, want %s", previous, maxBackoff)
	}
}

func TestHistory(t *testing.T) {
	c := cause{current.Hash(), "1"}
	type jobs = []launcher.Job
	for _, test := range []struct {
		name         string
		before       history
		cause        cause
		jobs         jobs
		holders      map[string]int
		now          time.Time
		wantFailures int
		wantMessage  string
	}{{
		name: "nothing happened", cause: c,
	}, {
		name: "a failure counts", cause: c,
		jobs:         jobs{aJob("a", failedAt(0))},
		wantFailures: 1, wantMessage: "said a",
	}, {
		name: "once", cause: c,
		before:       history{cause: c, failures: 1, last: launcher.Exit{Message: "said a"}, counted: map[string]bool{"a": true}},
		jobs:         jobs{aJob("a", failedAt(0))},
		wantFailures: 1, wantMessage: "said a",
	}, {
		name: "the last one has the word", cause: c,
		jobs:         jobs{aJob("b", failedAt(2)), aJob("a", failedAt(1))},
		wantFailures: 2, wantMessage: "said b",
	}, {
		name: "a failure of an outdated job proves nothing", cause: c,
		jobs: jobs{aJob("a", isOutdated, failedAt(0))},
	}, {
		name: "a changed Secret starts afresh", cause: cause{c.hash, "2"},
		before: history{cause: c, failures: 7, counted: map[string]bool{"a": true}},
		jobs:   jobs{aJob("a", failedAt(0))},
	}, {
		name: "a job that works ends the failures", cause: c,
		before:  history{cause: c, failures: 7, last: launcher.Exit{Time: at(-1)}},
		jobs:    jobs{aJob("a", started(0))},
		holders: map[string]int{"a": 1},
	}, {
		name: "so does one that lives on", cause: c,
		before: history{cause: c, failures: 7, last: launcher.Exit{Time: at(-1)}},
		jobs:   jobs{aJob("a", started(0))},
		now:    at(5),
	}, {
		name: "and one that left of its own will", cause: c,
		before: history{cause: c, failures: 7, last: launcher.Exit{Time: at(-1)}},
		jobs:   jobs{aJob("a", started(0), finishedAt(1))},
	}, {
		name: "but not one that has only begun", cause: c,
		before:       history{cause: c, failures: 7, last: launcher.Exit{Time: at(-1), Message: "said x"}},
		jobs:         jobs{aJob("a", started(0))},
		now:          at(4),
		wantFailures: 7, wantMessage: "said x",
	}, {
		name: "nor one that was there before", cause: c,
		before:       history{cause: c, failures: 7, last: launcher.Exit{Time: at(-1), Message: "said x"}},
		jobs:         jobs{aJob("a", started(-2))},
		holders:      map[string]int{"a": 1},
		wantFailures: 7, wantMessage: "said x",
	}} {
		t.Run(test.name, func(t *testing.T) {
			if test.now.IsZero() {
				test.now = t0
			}
			got := test.before.observe(test.cause, test.jobs, test.holders, test.now)
			if got.failures != test.wantFailures || got.last.Message != test.wantMessage {
				t.Errorf("%d failures, last %q; want %d, %q", got.failures, got.last.Message, test.wantFailures, test.wantMessage)
			}
		})
	}
}

func aTurn(name, conversation string, position int64, phase tightbeamv1.TurnPhase, model string) *tightbeamv1.Turn {
	turn := &tightbeamv1.Turn{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name)},
		Spec:       tightbeamv1.TurnSpec{Conversation: conversation},
		Status:     tightbeamv1.TurnStatus{Phase: phase, Position: position, Model: model},
	}
	if phase == tightbeamv1.TurnRunning {
		turn.Status.Attempts = []tightbeamv1.TurnAttempt{{Model: model, Job: "job-of-" + name}}
	}
	return turn
}

func TestDemand(t *testing.T) {
	later := aTurn("g", "c4", 1, tightbeamv1.TurnQueued, "m")
	later.Status.NotBefore = ptr.To(metav1.NewMicroTime(at(9)))
	latest := aTurn("h", "c5", 1, tightbeamv1.TurnQueued, "m")
	latest.Status.NotBefore = ptr.To(metav1.NewMicroTime(at(10)))
	due := aTurn("i", "c6", 1, tightbeamv1.TurnQueued, "m")
	due.Status.NotBefore = ptr.To(metav1.NewMicroTime(t0))
	all := []*tightbeamv1.Turn{
		aTurn("a", "c1", 1, tightbeamv1.TurnRunning, "m"),
		aTurn("b", "c1", 2, tightbeamv1.TurnQueued, "m"), // behind a
		aTurn("c", "c2", 7, tightbeamv1.TurnQueued, "m"),
		aTurn("d", "c2", 8, tightbeamv1.TurnQueued, "m"), // behind c
		aTurn("e", "c3", 1, tightbeamv1.TurnQueued, "other"),
		aTurn("f", "c3", 2, tightbeamv1.TurnQueued, "m"), // behind e
		later, latest, due,
		aTurn("j", "c7", 1, tightbeamv1.TurnSucceeded, "m"),
		aTurn("k", "c7", 2, tightbeamv1.TurnQueued, "m"), // j is over
	}
	var ofModel []*tightbeamv1.Turn
	for _, turn := range all {
		if turn.Status.Model == "m" {
			ofModel = append(ofModel, turn)
		}
	}
	conversation := func(turn *tightbeamv1.Turn) (turns []*tightbeamv1.Turn) {
		for _, other := range all {
			if other.Spec.Conversation == turn.Spec.Conversation {
				turns = append(turns, other)
			}
		}
		return turns
	}
	want := demand{running: 1, runnable: 3, next: at(9), holders: map[string]int{"job-of-a": 1}} // c, i, k
	if diff := cmp.Diff(want, measure(ofModel, conversation, t0), cmp.AllowUnexported(demand{})); diff != "" {
		t.Errorf("demand (-want +got):\n%s", diff)
	}
}
