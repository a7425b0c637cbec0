// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package llmjob

import (
	"slices"
	"time"

	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/launcher"
)

// state is all that the plan of one model is made from.
type state struct {
	model *tightbeamv1.TightbeamModel
	// hash of the spec that jobs of the model have now.
	hash string
	// refused: the launcher launches none of them.
	refused bool
	demand  demand
	jobs    []launcher.Job
	history history
	now     time.Time
}

// plan is what to do for one model.
type plan struct {
	// launchWarm and launch are how many jobs to launch, kept warm or not.
	launchWarm, launch int
	// stop are jobs to ask to leave, forget those that have left.
	stop, forget []string
	// again is when to plan again although nothing has changed; zero: never.
	again time.Time
}

// desiredJobs is how many jobs the turns need, within what the model allows.
func desiredJobs(jobs *tightbeamv1.ModelJobs, turns int) int {
	minimum, maximum, perJob := limits(jobs)
	needed := (turns + perJob - 1) / perJob
	return min(max(minimum, needed), max(minimum, maximum))
}

// limits are spec.jobs with the defaults that the API gives.
func limits(jobs *tightbeamv1.ModelJobs) (minimum, maximum, perJob int) {
	if jobs == nil {
		jobs = &tightbeamv1.ModelJobs{}
	}
	minimum = int(ptr.Deref(jobs.Min, 0))
	maximum = int(ptr.Deref(jobs.Max, 1))
	perJob = max(1, int(ptr.Deref(jobs.TurnsPerJob, 8)))
	return minimum, maximum, perJob
}

// makePlan decides. It does nothing and knows nothing but its argument.
func makePlan(s state) plan {
	var p plan
	var live []launcher.Job
	for _, job := range s.jobs {
		switch {
		case job.Exit != nil:
			p.forget = append(p.forget, job.Name)
		case job.Stopping:
		case !s.refused && job.Spec.Hash() != s.hash:
			p.stop = append(p.stop, job.Name)
		default:
			live = append(live, job)
		}
	}

	minimum, maximum, _ := limits(s.model.Spec.Jobs)
	maximum = max(minimum, maximum)
	live = p.stopSurplus(live, minimum, maximum, s.demand.holders)

	// A model that the launcher refuses keeps the jobs it has: they run on
	// what was right when they started, and turns would gain nothing by
	// their end.
	if !s.refused {
		p.launchMissing(s, live, minimum, maximum)
	}
	p.wakeAt(s.now, s.demand.next)
	for _, job := range live {
		if s.history.tries(job) {
			p.wakeAt(s.now, job.StartTime.Add(provenAfter))
		}
	}
	return p
}

func (p *plan) launchMissing(s state, live []launcher.Job, minimum, maximum int) {
	missing := desiredJobs(s.model.Spec.Jobs, s.demand.running+s.demand.runnable) - len(live)
	if missing <= 0 && warm(live) >= minimum {
		return
	}
	if notBefore := s.history.notBefore(); notBefore.After(s.now) {
		p.wakeAt(s.now, notBefore)
		return
	}
	if s.history.failures > 0 {
		// After a failure one job goes ahead; the others follow when it works.
		if slices.ContainsFunc(live, s.history.tries) {
			return
		}
		missing = min(missing, 1)
	}
	room := maximum - len(live)
	p.launchWarm = max(0, min(minimum-warm(live), room))
	if s.history.failures > 0 {
		p.launchWarm = min(p.launchWarm, 1)
	}
	p.launch = max(0, missing-p.launchWarm)
}

// stopSurplus asks those jobs to leave that a lowered limit has no room for,
// and returns the others. The ones that hold the fewest turns go, the newest
// first.
func (p *plan) stopSurplus(live []launcher.Job, minimum, maximum int, holders map[string]int) []launcher.Job {
	live = slices.Clone(live)
	slices.SortStableFunc(live, func(a, b launcher.Job) int {
		if d := holders[b.Name] - holders[a.Name]; d != 0 {
			return d
		}
		return a.StartTime.Compare(b.StartTime)
	})
	kept, keptWarm := live[:0:0], 0
	for _, job := range live {
		if len(kept) == maximum || job.Warm && keptWarm == minimum {
			p.stop = append(p.stop, job.Name)
			continue
		}
		if job.Warm {
			keptWarm++
		}
		kept = append(kept, job)
	}
	return kept
}

func warm(jobs []launcher.Job) int {
	n := 0
	for _, job := range jobs {
		if job.Warm {
			n++
		}
	}
	return n
}

// wakeAt asks to plan again at a time, unless that has passed or an earlier
// one is asked for already.
func (p *plan) wakeAt(now, at time.Time) {
	if at.After(now) && (p.again.IsZero() || at.Before(p.again)) {
		p.again = at
	}
}
