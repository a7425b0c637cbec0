// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpool

import (
	"time"

	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

const (
	defaultUtilization = 80
	defaultDelay       = 300
)

// scale is how many unused pods are wanted, and since when.
type scale struct {
	wanted int
	since  time.Time
	// known: it was decided before.
	known bool
}

// rescale decides how many unused pods a pool wants. More are wanted at once,
// fewer when the last change is scaleDownDelay ago; then at is when to look again.
func rescale(spec *v1.WarmPoolSpec, assigned, peak int, before scale, now time.Time) (after scale, at time.Time) {
	target := demanded(spec, assigned, peak)
	switch {
	case !before.known:
		return scale{target, now, true}, time.Time{}
	case target == before.wanted:
		return before, time.Time{}
	case target > before.wanted || !autoscaled(spec):
		return scale{target, now, true}, time.Time{}
	}
	// What is assigned counts against maxSize at once, whatever the delay.
	if room := limit(spec, assigned); room >= 0 && before.wanted > room {
		before.wanted = room
	}
	if down := before.since.Add(delay(spec)); down.After(now) {
		return before, down
	}
	return scale{target, now, true}, time.Time{}
}

// demanded is how many unused pods are needed now.
//
// targetUtilization keeps a share of all pods unused; the peak of demand keeps as
// many as came, of late, before one could have been made.
func demanded(spec *v1.WarmPoolSpec, assigned, peak int) int {
	unused := int(spec.MinSize)
	if autoscaled(spec) {
		utilization := int(ptr.Deref(spec.AutoScaling.TargetUtilization, defaultUtilization))
		total := (assigned*100 + utilization - 1) / utilization
		unused = max(unused, total-assigned, peak)
	}
	if room := limit(spec, assigned); room >= 0 {
		unused = min(unused, room)
	}
	return unused
}

// limit is how many unused pods maxSize leaves room for; below zero: no limit.
func limit(spec *v1.WarmPoolSpec, assigned int) int {
	if spec.MaxSize == 0 {
		return -1
	}
	return max(0, int(spec.MaxSize)-assigned)
}

func autoscaled(spec *v1.WarmPoolSpec) bool {
	return spec.AutoScaling != nil && spec.AutoScaling.Enabled
}

func delay(spec *v1.WarmPoolSpec) time.Duration {
	return time.Duration(ptr.Deref(spec.AutoScaling.ScaleDownDelay, defaultDelay)) * time.Second
}
