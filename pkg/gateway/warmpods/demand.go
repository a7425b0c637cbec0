// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpods

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

const (
	// maxArrivals bounds the arrivals that are remembered: as many as the
	// largest pool has pods.
	maxArrivals = 10_000
	// recentAsks is how many asks the hit rate is over.
	recentAsks = 100
	// leads is how many of the last pods say how long making one takes.
	leads = 8
	// firstLead stands until a pod has been made; minLead is the least that is
	// planned with: the controller needs time to see a claim, too.
	firstLead = 10 * time.Second
	minLead   = time.Second
	// maxLead bounds what a pod that waited for a node, say, makes of the plan.
	maxLead = 5 * time.Minute
	// maxStretch bounds the lead that is planned with by the least that a pod took.
	// The more pods are wanted the longer each of them waits for the others, and
	// more came meanwhile: where starts are three quarters busy a burst is planned
	// for in full, with four times as many; where they cannot keep up at all, more
	// pods would only be wanted, and none be there sooner.
	maxStretch = 4
)

// demand is what sandboxes asked of one pool of late.
type demand struct {
	hits []bool // of the last recentAsks, the oldest first
	// arrivals within the last lead.
	arrivals []time.Time
	// peaks are arrivals within one lead, each later one smaller than those
	// before it: the first that is not too old is the largest.
	peaks []peak
	leads []time.Duration
	// shortest is the least that a pod of this template took; zero: none was made.
	shortest time.Duration
	// refills are the claims that no new pod has made up for.
	refills []time.Time
	// lags are how long those took that a new pod did make up for, until they
	// are collected.
	lags []time.Duration
}

type peak struct {
	at    time.Time
	count int
}

// asked records that a sandbox asked, and whether it got a pod.
func (d *demand) asked(now time.Time, hit bool) {
	d.hits = append(d.hits, hit)
	if len(d.hits) > recentAsks {
		d.hits = slices.Delete(d.hits, 0, len(d.hits)-recentAsks)
	}
	d.arrivals = append(prune(d.arrivals, now.Add(-d.lead())), now)
	for n := len(d.peaks); n > 0 && d.peaks[n-1].count <= len(d.arrivals); n-- {
		d.peaks = d.peaks[:n-1]
	}
	d.peaks = append(d.peaks, peak{now, len(d.arrivals)})
	if hit && len(d.refills) < maxArrivals {
		d.refills = append(d.refills, now)
	}
}

// prune drops the times before since, and the oldest beyond the bound.
func prune(times []time.Time, since time.Time) []time.Time {
	n := 0
	for n < len(times) && (times[n].Before(since) || len(times)-n >= maxArrivals) {
		n++
	}
	return slices.Delete(times, 0, n)
}

// returned records that a pod became claimable, and whether the pool is whole
// with it: then no claim is still to be made up for.
func (d *demand) returned(now time.Time, whole bool) {
	if len(d.refills) > 0 {
		if len(d.lags) < maxArrivals {
			d.lags = append(d.lags, now.Sub(d.refills[0]))
		}
		d.refills = slices.Delete(d.refills, 0, 1)
	}
	if whole {
		d.refills = nil
	}
}

// made records how long a pod took from its creation to Ready.
func (d *demand) made(took time.Duration) {
	if d.shortest == 0 || took < d.shortest {
		d.shortest = took
	}
	d.leads = append(d.leads, took)
	if len(d.leads) > leads {
		d.leads = slices.Delete(d.leads, 0, 1)
	}
}

// lead is how long making a pod takes: the longest of late, for it is bursts
// that are planned for, and they make pods slower. It does not follow them beyond
// maxStretch.
func (d *demand) lead() time.Duration {
	if len(d.leads) == 0 {
		return firstLead
	}
	longest := min(slices.Max(d.leads), maxStretch*d.shortest)
	return min(max(longest, minLead), maxLead)
}

// changed says that pods are made of something else: how long that takes is not
// known.
func (d *demand) changed() { d.leads, d.shortest = nil, 0 }

// peak is the largest number of arrivals within one lead since then, and when
// it will have passed if nobody comes; the time is zero if there is none.
func (d *demand) peak(since time.Time) (count int, at time.Time) {
	for _, p := range d.peaks {
		if !p.at.Before(since) {
			return p.count, p.at
		}
	}
	return 0, time.Time{}
}

// hitRate is the percentage of hits of late; nil if nobody asked.
func (d *demand) hitRate() *int32 {
	if len(d.hits) == 0 {
		return nil
	}
	n := 0
	for _, hit := range d.hits {
		if hit {
			n++
		}
	}
	rate := int32(n * 100 / len(d.hits))
	return &rate
}

// Demand is what sandboxes asked of a pool of late.
type Demand struct {
	// HitRate is the percentage of those that got a pod; nil if nobody asked.
	HitRate *int32
	// Peak is the largest number that came within the time that making a pod
	// takes. It will fall at PeakUntil if nobody comes; zero: never.
	Peak      int
	PeakUntil time.Time
	// Lags are how long pods that were taken since the last call took to be
	// made up for.
	Lags []time.Duration
}

// Demand tells what was asked of a pool within a time.
func (s *Shelf) Demand(name types.NamespacedName, within time.Duration) Demand {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pools[name]
	if p == nil {
		return Demand{}
	}
	var d Demand
	d.HitRate = p.demand.hitRate()
	var at time.Time
	if d.Peak, at = p.demand.peak(s.clock.Now().Add(-within)); d.Peak > 0 {
		d.PeakUntil = at.Add(within)
	}
	d.Lags, p.demand.lags = p.demand.lags, nil
	return d
}

// Made tells how long a pod took from its creation to Ready.
func (s *Shelf) Made(pod *v1.WarmPod, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pools[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Spec.PoolRef.Name}]
	if p != nil && (p.Template == nil || p.Template.Hash == pod.Status.TemplateHash) {
		p.demand.made(took)
	}
}
