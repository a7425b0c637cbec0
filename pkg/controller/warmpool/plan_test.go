// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpool

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const current, former = "new", "old"

// pods makes WarmPods that came one second after the other.
func pods(phase v1.WarmPodPhase, hash string, n int, change ...func(*v1.WarmPod)) []*v1.WarmPod {
	var list []*v1.WarmPod
	for i := range n {
		made := now.Add(time.Duration(i-100) * time.Second)
		pod := &v1.WarmPod{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%s-%d", phase, hash, i), CreationTimestamp: metav1.NewTime(made)},
			Status:     v1.WarmPodStatus{Phase: phase, TemplateHash: hash},
		}
		if phase == v1.WarmPodReady {
			pod.Status.ReadyTime = ptr.To(metav1.NewTime(made))
		}
		for _, f := range change {
			f(pod)
		}
		list = append(list, pod)
	}
	return list
}

func spec(min, max int32, change ...func(*v1.WarmPoolSpec)) *v1.WarmPoolSpec {
	s := &v1.WarmPoolSpec{MinSize: min, MaxSize: max, TTL: ptr.To[int32](3600)}
	for _, f := range change {
		f(s)
	}
	return s
}

func autoscaling(target, delay int32) func(*v1.WarmPoolSpec) {
	return func(s *v1.WarmPoolSpec) {
		s.AutoScaling = &v1.AutoScaling{Enabled: true, TargetUtilization: &target, ScaleDownDelay: &delay}
	}
}

func removed(p plan) []string {
	var names []string
	for _, r := range p.remove {
		names = append(names, r.pod.Name)
	}
	slices.Sort(names)
	return names
}

func TestAPoolIsKeptAtItsSize(t *testing.T) {
	t.Parallel()
	join := func(lists ...[]*v1.WarmPod) []*v1.WarmPod { return slices.Concat(lists...) }
	leaving := func(p *v1.WarmPod) { p.DeletionTimestamp = ptr.To(metav1.NewTime(now)) }
	failedPreload := func(p *v1.WarmPod) { p.Status.Reason = reasonPreloadFailed }
	for name, c := range map[string]struct {
		state  state
		create int
		remove []string
	}{
		"from nothing":                       {state: state{spec: spec(5, 0)}, create: 5},
		"what is being made counts":          {state: state{spec: spec(5, 0), pods: join(pods(v1.WarmPodReady, current, 2), pods(v1.WarmPodPending, current, 2))}, create: 1},
		"what is not seen yet counts":        {state: state{spec: spec(5, 0), creating: 5}},
		"what is in use does not":            {state: state{spec: spec(5, 0), pods: pods(v1.WarmPodAssigned, current, 5)}, create: 5},
		"never beyond maxSize":               {state: state{spec: spec(5, 8), pods: pods(v1.WarmPodAssigned, current, 6)}, create: 2},
		"those on their way out count to it": {state: state{spec: spec(5, 6), pods: pods(v1.WarmPodReady, current, 4, leaving)}, create: 2},
		"all in use at maxSize":              {state: state{spec: spec(5, 5), pods: pods(v1.WarmPodAssigned, current, 5)}},
		"too many: the oldest go": {
			state:  state{spec: spec(1, 0), pods: pods(v1.WarmPodReady, current, 3)},
			remove: []string{"Ready-new-0", "Ready-new-1"},
		},
		"too many: what is being made goes first": {
			state:  state{spec: spec(2, 0), pods: join(pods(v1.WarmPodReady, current, 2), pods(v1.WarmPodPending, current, 2))},
			remove: []string{"Pending-new-0", "Pending-new-1"},
		},
		"a lowered maxSize removes what is unused only": {
			state:  state{spec: spec(2, 3), pods: join(pods(v1.WarmPodAssigned, current, 4), pods(v1.WarmPodReady, current, 2))},
			remove: []string{"Ready-new-0", "Ready-new-1"},
		},
		"a failed preload is replaced": {
			state:  state{spec: spec(1, 0), pods: pods(v1.WarmPodPending, current, 1, failedPreload)},
			create: 1, remove: []string{"Pending-new-0"},
		},
		"no template, no pods": {state: state{spec: spec(3, 0), hash: "-"}},
		"a deleted pool gives up what is unused": {
			state:  state{spec: spec(3, 0), deleted: true, pods: join(pods(v1.WarmPodAssigned, current, 1), pods(v1.WarmPodReady, current, 1), pods(v1.WarmPodPending, former, 1))},
			remove: []string{"Pending-old-0", "Ready-new-0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := c.state
			s.now = now
			switch s.hash {
			case "":
				s.hash = current
			case "-":
				s.hash = ""
			}
			p := makePlan(s)
			if p.create != c.create || !slices.Equal(removed(p), c.remove) {
				t.Errorf("creates %d and removes %v, want %d and %v", p.create, removed(p), c.create, c.remove)
			}
		})
	}
}

// step carries a plan out in a world where pods become Ready at once.
func step(all []*v1.WarmPod, p plan) []*v1.WarmPod {
	gone := removed(p)
	all = slices.DeleteFunc(slices.Clone(all), func(pod *v1.WarmPod) bool { return slices.Contains(gone, pod.Name) })
	made := pods(v1.WarmPodReady, current, p.create)
	for i, pod := range made {
		pod.Name = fmt.Sprintf("made-%d-%d", len(all), i)
	}
	return append(all, made...)
}

func TestAChangedTemplateReplacesPodsWithoutEverHavingFewer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		max      int32
		least    int
		assigned int
	}{
		{"with room beside them", 0, 5, 0},
		{"with room for one", 6, 5, 0},
		{"with some in use", 8, 5, 2},
		{"without room, one at a time", 5, 4, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			all := append(pods(v1.WarmPodReady, former, 5), pods(v1.WarmPodAssigned, former, c.assigned)...)
			for range 50 {
				p := makePlan(state{spec: spec(5, c.max), hash: current, pods: all, scale: scale{wanted: 5, since: now, known: true}, now: now})
				if p.create == 0 && len(p.remove) == 0 {
					break
				}
				left := p.counts.available - len(p.remove)
				if left < c.least {
					t.Fatalf("%d pods are left of %d", left, p.counts.available)
				}
				all = step(all, p)
				if c.max > 0 && len(all) > int(c.max) {
					t.Fatalf("%d pods, maxSize is %d", len(all), c.max)
				}
			}
			ready := 0
			for _, pod := range all {
				if pod.Status.Phase == v1.WarmPodReady {
					if ready++; pod.Status.TemplateHash != current {
						t.Errorf("%s is still of the former template", pod.Name)
					}
				}
			}
			if ready != 5 {
				t.Errorf("%d pods are ready in the end", ready)
			}
		})
	}
}

func TestATemplateThatDoesNotWorkLeavesWhatThereIs(t *testing.T) {
	t.Parallel()
	h := history{}.failed(current, reasonPreloadFailed, "exit code 1", now)
	p := makePlan(state{spec: spec(3, 0), hash: current, pods: pods(v1.WarmPodReady, former, 3), history: h, now: now, scale: scale{3, now, true}})
	if p.create != 0 || len(p.remove) != 0 || !p.again.Equal(h.notBefore()) {
		t.Errorf("creates %d, removes %v, looks again at %s", p.create, removed(p), p.again)
	}
}

func TestAPodIsReplacedWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	s := state{spec: spec(1, 0), hash: current, pods: pods(v1.WarmPodReady, current, 1), now: now, scale: scale{1, now, true}}
	over := s.pods[0].Status.ReadyTime.Add(time.Hour)
	if p := makePlan(s); len(p.remove) != 0 || !p.again.Equal(over) {
		t.Errorf("removes %v, looks again at %s, want %s", removed(p), p.again, over)
	}
	s.now = over
	p := makePlan(s)
	if p.create != 1 || len(p.remove) != 0 {
		t.Errorf("creates %d and removes %v: the new one comes first", p.create, removed(p))
	}
	s.pods = step(s.pods, p)
	s.pods[1].Status.ReadyTime = ptr.To(metav1.NewTime(over))
	if p = makePlan(s); !slices.Equal(removed(p), []string{"Ready-new-0"}) {
		t.Errorf("removes %v", removed(p))
	}
	s.spec = spec(1, 0, func(s *v1.WarmPoolSpec) { s.TTL = ptr.To[int32](0) })
	s.pods = s.pods[:1]
	if p = makePlan(s); p.create != 0 || !p.again.IsZero() {
		t.Errorf("ttl 0 is never: creates %d, looks again at %s", p.create, p.again)
	}
}

func TestAPodThatStaysAwayIsReplaced(t *testing.T) {
	t.Parallel()
	away := func(since time.Duration) func(*v1.WarmPod) {
		return func(p *v1.WarmPod) {
			p.Status.Reason, p.Status.LastHeartbeat = reasonDisconnected, ptr.To(metav1.NewTime(now.Add(-since)))
		}
	}
	if p := makePlan(state{spec: spec(1, 0), hash: current, pods: pods(v1.WarmPodPending, current, 1, away(maxAway-time.Second)), now: now}); len(p.remove) != 0 || p.create != 0 {
		t.Errorf("it may come back: %+v", p)
	}
	if p := makePlan(state{spec: spec(1, 0), hash: current, pods: pods(v1.WarmPodPending, current, 1, away(maxAway)), now: now}); len(p.remove) != 1 || p.create != 1 {
		t.Errorf("it did not: %+v", p)
	}
}

func TestFailuresAreRetriedLaterAndLater(t *testing.T) {
	t.Parallel()
	h := history{}
	var waits []time.Duration
	for range 12 {
		h = h.failed(current, "ImagePullBackOff", "", now)
		waits = append(waits, h.notBefore().Sub(now))
	}
	if waits[0] != time.Second || waits[1] != 2*time.Second || waits[11] != maxBackoff || !slices.IsSorted(waits) {
		t.Errorf("waits %v", waits)
	}
	s := state{spec: spec(5, 0), hash: current, history: h, now: h.notBefore()}
	if p := makePlan(s); p.create != 1 {
		t.Errorf("%d pods try it again, want one to go ahead", p.create)
	}
	s.hash = "newer"
	s.now = now
	if p := makePlan(s); p.create != 5 {
		t.Errorf("%d pods of a changed template, want all at once", p.create)
	}
}

func TestScaling(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spec           *v1.WarmPoolSpec
		assigned, peak int
		before         scale
		wanted         int
		again          time.Duration
	}{
		"minSize":                                    {spec: spec(3, 0), wanted: 3},
		"demand alone does nothing":                  {spec: spec(3, 0), assigned: 100, peak: 50, wanted: 3},
		"a lower minSize counts at once":             {spec: spec(1, 0), before: scale{3, now, true}, wanted: 1},
		"a fifth unused at 80 percent":               {spec: spec(3, 0, autoscaling(80, 300)), assigned: 40, wanted: 10},
		"rounded up":                                 {spec: spec(0, 0, autoscaling(80, 300)), assigned: 1, wanted: 1},
		"at 100 percent none":                        {spec: spec(0, 0, autoscaling(100, 300)), assigned: 40, wanted: 0},
		"as many as came before one could be made":   {spec: spec(3, 0, autoscaling(80, 300)), assigned: 4, peak: 45, wanted: 45},
		"within maxSize":                             {spec: spec(3, 50, autoscaling(80, 300)), assigned: 20, peak: 45, wanted: 30},
		"more at once":                               {spec: spec(3, 0, autoscaling(80, 300)), assigned: 40, before: scale{3, now.Add(-time.Second), true}, wanted: 10},
		"fewer after the delay":                      {spec: spec(3, 0, autoscaling(80, 300)), before: scale{10, now.Add(-300 * time.Second), true}, wanted: 3},
		"not before":                                 {spec: spec(3, 0, autoscaling(80, 300)), before: scale{10, now.Add(-100 * time.Second), true}, wanted: 10, again: 200 * time.Second},
		"but never beyond maxSize":                   {spec: spec(3, 12, autoscaling(80, 300)), assigned: 8, before: scale{10, now.Add(-100 * time.Second), true}, wanted: 4, again: 200 * time.Second},
		"no delay, no wait":                          {spec: spec(3, 0, autoscaling(80, 0)), before: scale{10, now, true}, wanted: 3},
		"an autoscaling that is not enabled is none": {spec: spec(3, 0, autoscaling(80, 300), func(s *v1.WarmPoolSpec) { s.AutoScaling.Enabled = false }), assigned: 40, peak: 40, wanted: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			after, at := rescale(c.spec, c.assigned, c.peak, c.before, now)
			if after.wanted != c.wanted {
				t.Errorf("wants %d unused pods, should want %d", after.wanted, c.wanted)
			}
			if got := at.Sub(now); c.again != 0 && got != c.again || c.again == 0 && !at.IsZero() {
				t.Errorf("looks again at %s", at)
			}
		})
	}
}

func TestStatusSaysWhatIsTrue(t *testing.T) {
	t.Parallel()
	broken := history{}.failed(current, reasonPreloadFailed, "preload of script a: exit code 1: no such file", now)
	for name, c := range map[string]struct {
		state        state
		ready        string
		up, down     metav1.ConditionStatus
		readyMessage string
	}{
		"filling":        {state{spec: spec(2, 0)}, "False/Filling", "True", "False", "being made"},
		"full":           {state{spec: spec(2, 0), pods: pods(v1.WarmPodReady, current, 2)}, "True/Available", "False", "False", "finds a pod"},
		"nothing works":  {state{spec: spec(2, 0), history: broken}, "False/PreloadFailed", "False", "False", "no such file"},
		"nothing new":    {state{spec: spec(2, 0), history: broken, pods: pods(v1.WarmPodReady, former, 2)}, "True/Available", "False", "False", "no such file"},
		"scaled to zero": {state{spec: spec(0, 0)}, "False/NoneWanted", "False", "False", "minSize is 0"},
		"all in use":     {state{spec: spec(2, 2), pods: pods(v1.WarmPodAssigned, current, 2)}, "False/AtMaxSize", "False", "False", "in use"},
		"too many":       {state{spec: spec(1, 0), pods: pods(v1.WarmPodReady, current, 2)}, "True/Available", "False", "True", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := c.state
			s.hash, s.now = current, now
			pool := &v1.WarmPool{ObjectMeta: metav1.ObjectMeta{Name: "p", Generation: 3}, Spec: *s.spec}
			status := &v1.WarmPoolStatus{}
			describe(status, pool, s, makePlan(s), nil)
			got := map[string]metav1.Condition{}
			for _, condition := range status.Conditions {
				got[condition.Type] = condition
			}
			ready := got[v1.WarmPoolReady]
			if is := string(ready.Status) + "/" + ready.Reason; is != c.ready || !strings.Contains(ready.Message, c.readyMessage) {
				t.Errorf("Ready is %s: %s, want %s: …%s…", is, ready.Message, c.ready, c.readyMessage)
			}
			if up, down := got[v1.WarmPoolScalingUp].Status, got[v1.WarmPoolScalingDown].Status; up != c.up || down != c.down {
				t.Errorf("ScalingUp is %s and ScalingDown is %s", up, down)
			}
			if status.ObservedGeneration != 3 || status.Selector != "llmsafespace.dev/pool=p" || status.LastScaleTime == nil {
				t.Errorf("got %+v", status)
			}
		})
	}
}

func TestAPodThatCameAndWentBetweenTwoLooksIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	now := time.Now()
	m := &memory{creating: map[string]time.Time{"claimed-and-gone": now, "never-seen": now}}
	c := &Controller{known: map[types.UID]*memory{"pool": m}}
	gone := pods(v1.WarmPodAssigned, "hash", 1)[0]
	gone.Name, gone.Status.PoolUID = "claimed-and-gone", "pool"
	c.seen(gone)

	s := state{now: now.Add(time.Second)}
	if unsure := c.look(m, &s, &v1.WarmPool{}); s.creating != 1 || !unsure.Equal(now.Add(unseen)) {
		t.Errorf("%d are being made, until %v", s.creating, unsure)
	}
	s.now = now.Add(unseen)
	if unsure := c.look(m, &s, &v1.WarmPool{}); s.creating != 0 || !unsure.IsZero() {
		t.Errorf("%d are being made, until %v", s.creating, unsure)
	}
}
