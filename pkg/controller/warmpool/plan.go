// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpool

import (
	"cmp"
	"slices"
	"time"

	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

const (
	// maxAway is how long a pod may be without its connection before it is
	// replaced.
	maxAway = time.Minute
	// halfMade is how long a WarmPod of ours may lack its description: the
	// process that made it has died.
	halfMade = time.Minute
	// maxCreates bounds what one step makes; the rest follows in the next.
	maxCreates = 256
)

// Reasons of WarmPods that are not Ready, as the gateway gives them.
const (
	reasonPreloadFailed = "PreloadFailed"
	reasonDisconnected  = "Disconnected"
)

// state is all that the plan of one pool is made from.
type state struct {
	spec *v1.WarmPoolSpec
	// hash of the template that pods have now; empty: none can be made.
	hash string
	// pods are those that the pool's loop made, and creating how many of those
	// made last are not among them yet.
	pods     []*v1.WarmPod
	creating int
	deleted  bool // the pool is being deleted
	scale    scale
	peak     int
	history  history
	now      time.Time
}

// counts of a pool's pods.
type counts struct {
	available, assigned, pending int
	// ready and making have the present template and are not about to go.
	ready, making int
	// leaving are being deleted, or are to be.
	leaving int
}

// plan is what to do for one pool.
type plan struct {
	counts counts
	scale  scale
	create int
	remove []removal
	// scalingDown: more pods are there than wanted.
	scalingDown bool
	// again is when to plan again although nothing has changed; zero: never.
	again time.Time
}

// removal is a WarmPod to delete, and why.
type removal struct {
	pod *v1.WarmPod
	// failed: it never was what it was made for.
	failed          bool
	reason, message string
}

// makePlan decides. It does nothing and knows nothing but its argument.
func makePlan(s state) plan {
	var p plan
	var ready, making, old []*v1.WarmPod // old: ready, to be replaced
	for _, pod := range s.pods {
		switch {
		case pod.Status.Phase == v1.WarmPodAssigned:
			p.counts.assigned++
		case pod.DeletionTimestamp != nil || pod.Status.Phase == v1.WarmPodTerminating:
			p.counts.leaving++
		case pod.Status.Phase == v1.WarmPodReady:
			p.counts.available++
			if s.outdated(pod, &p) {
				old = append(old, pod)
			} else {
				ready = append(ready, pod)
			}
		default:
			if gone := s.hopeless(pod, &p); gone != nil {
				p.remove = append(p.remove, *gone)
				continue
			}
			p.counts.pending++
			making = append(making, pod)
		}
	}
	p.counts.ready, p.counts.making = len(ready), len(making)+s.creating
	p.counts.pending += s.creating
	if s.deleted {
		for _, pod := range slices.Concat(ready, making, old) {
			p.remove = append(p.remove, removal{pod: pod, reason: "PoolDeleted"})
		}
		return p
	}
	var at time.Time
	p.scale, at = rescale(s.spec, p.counts.assigned, s.peak, s.scale, s.now)
	p.wakeAt(s.now, at)
	p.shrink(ready, making, old)
	p.grow(s, ready, making, old)
	return p
}

// outdated tells whether a Ready pod is to be replaced: because its template is
// not the pool's any more, or its time is over.
func (s *state) outdated(pod *v1.WarmPod, p *plan) bool {
	if s.hash != "" && pod.Status.TemplateHash != s.hash {
		return true
	}
	ttl := time.Duration(ptr.Deref(s.spec.TTL, 0)) * time.Second
	if ttl == 0 || pod.Status.ReadyTime == nil {
		return false
	}
	over := pod.Status.ReadyTime.Add(ttl)
	p.wakeAt(s.now, over)
	return !over.After(s.now)
}

// hopeless tells of a Pending pod that will not become Ready.
func (s *state) hopeless(pod *v1.WarmPod, p *plan) *removal {
	switch {
	case s.hash != "" && pod.Status.TemplateHash != "" && pod.Status.TemplateHash != s.hash:
		return &removal{pod: pod, reason: "TemplateChanged"}
	case pod.Status.Reason == reasonPreloadFailed:
		return &removal{pod: pod, failed: true, reason: pod.Status.Reason, message: pod.Status.Message}
	case pod.Status.Reason == reasonDisconnected && pod.Status.LastHeartbeat != nil:
		back := pod.Status.LastHeartbeat.Add(maxAway)
		p.wakeAt(s.now, back)
		if !back.After(s.now) {
			return &removal{pod: pod, failed: true, reason: reasonDisconnected, message: "sandboxd went away and did not come back"}
		}
	}
	return nil
}

// shrink removes what is too much: what is being made first, then what is
// outdated, then the oldest.
func (p *plan) shrink(ready, making, old []*v1.WarmPod) {
	oldest(ready)
	oldest(old)
	oldest(making)
	// An outdated pod goes as soon as it is not needed to be as many as wanted.
	excess := min(len(ready)+len(old)-p.scale.wanted, len(old))
	for _, pod := range old[:max(0, excess)] {
		p.remove = append(p.remove, removal{pod: pod, reason: "Replaced"})
	}
	surplus := len(ready) + p.counts.making - p.scale.wanted
	for _, pod := range slices.Backward(making) {
		if surplus <= 0 {
			break
		}
		p.remove = append(p.remove, removal{pod: pod, reason: "ScaledDown"})
		p.counts.making--
		p.scalingDown = true
		surplus--
	}
	for _, pod := range ready[:max(0, min(len(ready)-p.scale.wanted, len(ready)))] {
		p.remove = append(p.remove, removal{pod: pod, reason: "ScaledDown"})
		p.scalingDown = true
	}
}

// grow makes what is missing, as far as there is room and making pods works.
func (p *plan) grow(s state, ready, making, old []*v1.WarmPod) {
	missing := p.scale.wanted - len(ready) - p.counts.making
	if missing <= 0 || s.hash == "" {
		return
	}
	if failed := s.history.of(s.hash); failed.failures > 0 {
		if next := failed.notBefore(); next.After(s.now) {
			p.wakeAt(s.now, next)
			return
		}
		// One goes ahead; the others follow when it works.
		missing = min(missing, max(0, 1-p.counts.making))
	}
	if s.spec.MaxSize > 0 {
		room := max(0, int(s.spec.MaxSize)-len(s.pods)-s.creating)
		if room == 0 && missing > 0 && len(old) > 0 && len(making)+p.counts.leaving+len(p.remove) == 0 {
			// No room to make one before another goes.
			p.remove = append(p.remove, removal{pod: old[0], reason: "Replaced"})
		}
		missing = min(missing, room)
	}
	p.create = min(missing, maxCreates)
}

func oldest(pods []*v1.WarmPod) {
	slices.SortStableFunc(pods, func(a, b *v1.WarmPod) int {
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		return cmp.Compare(a.Name, b.Name)
	})
}

// wakeAt asks to plan again at a time, unless that has passed or an earlier one
// is asked for already.
func (p *plan) wakeAt(now, at time.Time) {
	if at.After(now) && (p.again.IsZero() || at.Before(p.again)) {
		p.again = at
	}
}
