// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpods

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/warmpods/fit"
)

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// shop is a shelf whose pools and pods are quickly made.
type shop struct {
	*Shelf
	clock *clocktesting.FakeClock
	pods  int
}

func newShop() *shop {
	clock := clocktesting.NewFakeClock(start)
	s := &shop{Shelf: NewShelf(clock, nil), clock: clock}
	s.Known()
	return s
}

func (s *shop) pool(namespace, name string, change ...func(*v1.WarmPool)) *v1.WarmPool {
	pool := &v1.WarmPool{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(namespace + name)}, Spec: v1.WarmPoolSpec{Runtime: "python:3.11"}}
	for _, f := range change {
		f(pool)
	}
	v1.SetObjectDefaults_WarmPool(pool)
	s.SetPool(Pool{
		NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}, UID: pool.UID, Template: fit.Design(pool, python, nil),
		Runtime: pool.Spec.Runtime, SecurityLevel: pool.Spec.SecurityLevel, Allowed: pool.Spec.AllowedNamespaces, MinSize: int(pool.Spec.MinSize),
	})
	return pool
}

var python = &v1.RuntimeEnvironment{ObjectMeta: metav1.ObjectMeta{Name: "python"}, Spec: v1.RuntimeEnvironmentSpec{Language: "python", Version: "3.11"}}

func (s *shop) fill(pool *v1.WarmPool, n int) (uids []types.UID) {
	for range n {
		pod := s.pod(pool)
		if s.Put(Pod{Object: pod, PodUID: types.UID(fmt.Sprint("pod-", s.pods))}) {
			uids = append(uids, pod.UID)
		}
	}
	return uids
}

// pod is one of the pool as it is now.
func (s *shop) pod(pool *v1.WarmPool) *v1.WarmPod {
	s.pods++
	pod := &v1.WarmPod{
		ObjectMeta: metav1.ObjectMeta{Namespace: pool.Namespace, Name: fmt.Sprint(pool.Name, "-", s.pods), UID: types.UID(fmt.Sprint("warm-", s.pods))},
		Spec:       v1.WarmPodSpec{PoolRef: v1.ObjectReference{Name: pool.Name}},
	}
	fit.Design(pool, python, nil).Write(&pod.Status)
	pod.Status.PoolUID = pool.UID
	return pod
}

func want(namespace string, change ...func(*v1.Sandbox)) *v1.Sandbox {
	s := &v1.Sandbox{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "a"}, Spec: v1.SandboxSpec{Runtime: "python:3.11"}}
	v1.SetObjectDefaults_Sandbox(s)
	s.Status.RuntimeEnvironment = "python"
	for _, f := range change {
		f(s)
	}
	return s
}

func memory(amount string) func(*v1.WarmPool) {
	return func(p *v1.WarmPool) { p.Spec.Resources = &v1.Resources{Memory: ptr.To(resource.MustParse(amount))} }
}

func allow(namespaces ...string) func(*v1.WarmPool) {
	return func(p *v1.WarmPool) { p.Spec.AllowedNamespaces = namespaces }
}

func TestTheOldestPodOfThePoolIsTakenOnce(t *testing.T) {
	t.Parallel()
	s := newShop()
	uids := s.fill(s.pool("a", "p"), 3)
	for i, uid := range uids {
		pod, refusal := s.Take(want("a"))
		if refusal != nil || pod.Object.UID != uid || pod.PodUID != types.UID(fmt.Sprint("pod-", i+1)) {
			t.Fatalf("got %+v, %+v", pod, refusal)
		}
		if s.Put(*pod) || !s.Taken(uid) {
			t.Error("it came back")
		}
	}
	if _, refusal := s.Take(want("a")); refusal == nil || refusal.Reason != ReasonPoolEmpty || refusal.Pool.Name != "p" || refusal.Warn {
		t.Errorf("got %+v", refusal)
	}
}

func TestWhoGetsWhichPod(t *testing.T) {
	t.Parallel()
	other := func(s *v1.Sandbox) { s.Status.RuntimeEnvironment, s.Spec.Runtime = "nodejs", "nodejs:20" }
	high := func(s *v1.Sandbox) { s.Spec.SecurityLevel = v1.SecurityHigh }
	user := func(s *v1.Sandbox) { s.Spec.SecurityContext.RunAsUser = ptr.To[int64](7) }
	named := func(namespace, name string) func(*v1.Sandbox) {
		return func(s *v1.Sandbox) { s.Spec.WarmPoolRef = &v1.ObjectReference{Namespace: namespace, Name: name} }
	}
	for name, c := range map[string]struct {
		pools   func(*shop)
		sandbox *v1.Sandbox
		pool    string // of the pod
		reason  string
		says    string
		warns   bool
	}{
		"one of its namespace": {
			pools:   func(s *shop) { s.fill(s.pool("b", "p", allow("a", "b")), 1); s.fill(s.pool("a", "q"), 1) },
			sandbox: want("a"), pool: "a/q",
		},
		"one that allows it": {
			pools:   func(s *shop) { s.fill(s.pool("b", "p", allow("a")), 1) },
			sandbox: want("a"), pool: "b/p",
		},
		"none that does not": {
			pools:   func(s *shop) { s.fill(s.pool("b", "p"), 1); s.fill(s.pool("b", "q", allow("c")), 1) },
			sandbox: want("a"), reason: ReasonNoPool, says: `"a"`,
		},
		"allowedNamespaces leave out the pool's own": {
			pools:   func(s *shop) { s.fill(s.pool("b", "p", allow("a")), 1) },
			sandbox: want("b"), reason: ReasonNoPool,
		},
		"the smallest that is large enough": {
			pools: func(s *shop) {
				s.fill(s.pool("a", "small", memory("128Mi")), 1)
				s.fill(s.pool("a", "large", memory("4Gi")), 1)
				s.fill(s.pool("a", "right", memory("1Gi")), 1)
			},
			sandbox: want("a"), pool: "a/right",
		},
		"a larger one where the right one is empty": {
			pools: func(s *shop) {
				s.pool("a", "right")
				s.fill(s.pool("a", "large", memory("4Gi")), 1)
			},
			sandbox: want("a"), pool: "a/large",
		},
		"an empty pool that fits, rather than one that does not": {
			pools: func(s *shop) {
				s.pool("a", "right")
				s.fill(s.pool("a", "small", memory("128Mi")), 1)
			},
			sandbox: want("a"), reason: ReasonPoolEmpty, says: "a/right",
		},
		"none of another runtime": {
			pools:   func(s *shop) { s.fill(s.pool("a", "p"), 1) },
			sandbox: want("a", other), reason: ReasonNoPool, says: "nodejs",
		},
		"none of another level": {
			pools:   func(s *shop) { s.fill(s.pool("a", "p"), 1) },
			sandbox: want("a", high), reason: ReasonNoPool, says: "high",
		},
		"the field that forces a cold start": {
			pools:   func(s *shop) { s.fill(s.pool("a", "p"), 1) },
			sandbox: want("a", user), reason: ReasonNoFit, says: "spec.securityContext.runAsUser: 7 is asked", warns: true,
		},
		"the same while the pool is empty": {
			pools:   func(s *shop) { s.pool("a", "p") },
			sandbox: want("a", user), reason: ReasonNoFit, says: "runAsUser", warns: true,
		},
		"the pool that it names": {
			pools:   func(s *shop) { s.fill(s.pool("a", "p"), 1); s.fill(s.pool("b", "q", allow("a")), 1) },
			sandbox: want("a", named("b", "q")), pool: "b/q",
		},
		"and no other": {
			pools:   func(s *shop) { s.fill(s.pool("a", "p"), 1); s.pool("a", "q") },
			sandbox: want("a", named("", "q")), reason: ReasonPoolEmpty, says: "a/q",
		},
		"what is wrong with the one that it names": {
			pools:   func(s *shop) { s.fill(s.pool("a", "p"), 1) },
			sandbox: want("a", named("", "p"), high), reason: ReasonNoFit, says: "spec.securityLevel", warns: true,
		},
		"a pool that is not there": {sandbox: want("a", named("b", "p")), reason: ReasonNoPool, says: "b/p", warns: true},
		"looks like one that does not allow it": {
			pools:   func(s *shop) { s.fill(s.pool("b", "p"), 1) },
			sandbox: want("a", named("b", "p")), reason: ReasonNoPool, says: "b/p", warns: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop()
			if c.pools != nil {
				c.pools(s)
			}
			pod, refusal := s.Take(c.sandbox)
			switch {
			case c.pool != "":
				if refusal != nil || pod.Object.Namespace+"/"+pod.Object.Spec.PoolRef.Name != c.pool {
					t.Errorf("got %+v, %+v, want a pod of %s", pod, refusal, c.pool)
				}
			case refusal == nil || refusal.Reason != c.reason || !strings.Contains(refusal.Message, c.says) || refusal.Warn != c.warns:
				t.Errorf("got %+v, want %s with %q", refusal, c.reason, c.says)
			}
		})
	}
}

func TestAStrangerIsNotToldWhetherAPoolExists(t *testing.T) {
	t.Parallel()
	named := func(s *v1.Sandbox) { s.Spec.WarmPoolRef = &v1.ObjectReference{Namespace: "b", Name: "p"} }
	with, without := newShop(), newShop()
	with.fill(with.pool("b", "p"), 1)
	_, a := with.Take(want("a", named))
	_, b := without.Take(want("a", named))
	if *a != *b {
		t.Errorf("%+v and %+v", a, b)
	}
}

func TestNothingIsHandedOutBeforeThePoolsAreKnown(t *testing.T) {
	t.Parallel()
	s := &shop{Shelf: NewShelf(clocktesting.NewFakeClock(start), nil)}
	s.fill(s.pool("a", "p"), 1)
	if _, refusal := s.Take(want("a")); refusal == nil || refusal.Reason != ReasonRecovering {
		t.Errorf("got %+v", refusal)
	}
}

func TestAPodThatLeavesIsNotHandedOut(t *testing.T) {
	t.Parallel()
	s := newShop()
	pool := s.pool("a", "p")
	uids := s.fill(pool, 2)
	if !s.Remove(uids[0]) || s.Remove(uids[0]) {
		t.Error("it was not there, or still is")
	}
	if pod, _ := s.Take(want("a")); pod == nil || pod.Object.UID != uids[1] {
		t.Errorf("got %+v", pod)
	}
	s.fill(pool, 1)
	s.RemovePool(types.NamespacedName{Namespace: "a", Name: "p"})
	if pod, refusal := s.Take(want("a")); pod != nil || refusal.Reason != ReasonNoPool {
		t.Errorf("got %+v, %+v", pod, refusal)
	}
	if got := s.fill(pool, 1); len(got) != 0 {
		t.Error("a pod of a pool that is gone was put on the shelf")
	}
}

func TestAPoolMadeAnewDoesNotInheritPods(t *testing.T) {
	t.Parallel()
	s := newShop()
	former := s.pool("a", "p")
	s.fill(former, 2)
	s.pool("a", "p", func(p *v1.WarmPool) { p.UID = "another" })
	if got := s.fill(former, 1); len(got) != 0 || s.Ready(types.NamespacedName{Namespace: "a", Name: "p"}) != 0 {
		t.Error("it did")
	}
}

func TestPodsOfTheNewTemplateAreTakenFirst(t *testing.T) {
	t.Parallel()
	s := newShop()
	s.fill(s.pool("a", "p"), 2)
	changed := s.pool("a", "p", func(p *v1.WarmPool) { p.Spec.PreloadPackages = []string{"numpy"} })
	uids := s.fill(changed, 1)
	if pod, _ := s.Take(want("a")); pod.Object.UID != uids[0] {
		t.Errorf("got %s", pod.Object.Name)
	}
	if pod, refusal := s.Take(want("a")); pod == nil {
		t.Errorf("the former ones are good, too: %+v", refusal)
	}
}

func TestDemandIsWhatCameWithinTheTimeOfMakingAPod(t *testing.T) {
	t.Parallel()
	s := newShop()
	pool := s.pool("a", "p", func(p *v1.WarmPool) { p.Spec.MinSize = 2 })
	name := types.NamespacedName{Namespace: "a", Name: "p"}
	s.Made(s.pod(pool), 2*time.Second)
	s.fill(pool, 3)
	for range 5 { // five at once: three hits
		s.Take(want("a"))
	}
	s.clock.Step(10 * time.Second)
	s.Take(want("a"))
	d := s.Demand(name, time.Minute)
	if d.Peak != 5 || *d.HitRate != 50 || !d.PeakUntil.Equal(start.Add(time.Minute)) {
		t.Errorf("got %+v, hit rate %d", d, *d.HitRate)
	}
	s.clock.Step(55 * time.Second)
	if d = s.Demand(name, time.Minute); d.Peak != 1 {
		t.Errorf("the peak is %d a minute later", d.Peak)
	}
	// The first new pods make up for the first claims, until the pool is whole.
	s.fill(pool, 1)
	if d = s.Demand(name, time.Minute); len(d.Lags) != 1 || d.Lags[0] != 65*time.Second {
		t.Errorf("lags %v", d.Lags)
	}
	s.fill(pool, 1)
	s.fill(pool, 1)
	if d = s.Demand(name, time.Minute); len(d.Lags) != 1 {
		t.Errorf("lags %v after the pool was whole", d.Lags)
	}
}

func TestDemandForgets(t *testing.T) {
	t.Parallel()
	var d demand
	for i := range 3 * maxArrivals {
		d.asked(start.Add(time.Duration(i)*time.Microsecond), true)
	}
	if len(d.arrivals) > maxArrivals || len(d.refills) > maxArrivals || len(d.hits) > recentAsks || len(d.peaks) > maxArrivals {
		t.Errorf("%d arrivals, %d refills, %d hits, %d peaks", len(d.arrivals), len(d.refills), len(d.hits), len(d.peaks))
	}
}
