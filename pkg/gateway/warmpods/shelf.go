// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpods

import (
	"container/list"
	"fmt"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/warmpods/fit"
)

// Pod is a warm pod that can be claimed.
type Pod struct {
	// Object is the WarmPod as it was when it became claimable.
	Object *v1.WarmPod
	PodUID types.UID
}

// Pool is what the shelf has to know of a pool.
type Pool struct {
	types.NamespacedName
	UID types.UID
	// Template is what its next pods are made as; nil if that is not known.
	Template *fit.Template
	// Runtime as it is written, and the level, say which sandboxes are meant
	// where there is no template.
	Runtime       string
	SecurityLevel v1.SecurityLevel
	// Allowed namespaces; empty: its own.
	Allowed []string
	// MinSize is how many ready pods make it whole.
	MinSize int
}

func (p *Pool) allows(namespace string) bool {
	if len(p.Allowed) == 0 {
		return namespace == p.Namespace
	}
	return slices.Contains(p.Allowed, namespace)
}

// Shelf has the pods that can be claimed, by pool, the oldest first. It is safe
// for concurrent use.
type Shelf struct {
	clock clock.PassiveClock
	// asked is told of a pool whose demand changed; not under the lock.
	asked func(types.NamespacedName)

	mu    sync.Mutex
	known bool
	pools map[types.NamespacedName]*pool
	// slots has every pod that is on the shelf or was taken from it, by the
	// WarmPod's UID, until it is forgotten.
	slots map[types.UID]*slot
}

type pool struct {
	Pool
	buckets []*bucket // by template, the oldest first
	demand  demand
}

// bucket has the pods of one template.
type bucket struct {
	template *fit.Template
	ready    list.List // of *slot
}

type slot struct {
	pod    Pod
	pool   *pool
	bucket *bucket
	at     *list.Element // nil: taken
}

// NewShelf makes an empty shelf. asked may be nil.
func NewShelf(clock clock.PassiveClock, asked func(types.NamespacedName)) *Shelf {
	if asked == nil {
		asked = func(types.NamespacedName) {}
	}
	return &Shelf{clock: clock, asked: asked, pools: map[types.NamespacedName]*pool{}, slots: map[types.UID]*slot{}}
}

// Known says that all pools have been told of: from now on a sandbox that finds
// none has none.
func (s *Shelf) Known() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = true
}

// SetPool tells of a pool, or of what it is now.
func (s *Shelf) SetPool(info Pool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.pools[info.NamespacedName]; p != nil && p.UID == info.UID {
		if info.Template != nil && p.Template != nil && info.Template.Hash != p.Template.Hash {
			p.demand.changed()
		}
		p.Pool = info
		return
	}
	s.removePoolLocked(info.NamespacedName)
	s.pools[info.NamespacedName] = &pool{Pool: info}
}

// RemovePool takes a pool with all its pods off the shelf.
func (s *Shelf) RemovePool(name types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removePoolLocked(name)
}

func (s *Shelf) removePoolLocked(name types.NamespacedName) {
	p := s.pools[name]
	if p == nil {
		return
	}
	delete(s.pools, name)
	for _, b := range p.buckets {
		for e := b.ready.Front(); e != nil; e = e.Next() {
			delete(s.slots, e.Value.(*slot).pod.Object.UID)
		}
	}
}

// Put makes a pod claimable. It reports false if the pod was taken before, or
// its pool is not known.
func (s *Shelf) Put(pod Pod) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	object := pod.Object
	if known := s.slots[object.UID]; known != nil {
		if known.at != nil {
			known.pod = pod
		}
		return known.at != nil
	}
	p := s.pools[types.NamespacedName{Namespace: object.Namespace, Name: object.Spec.PoolRef.Name}]
	if p == nil || p.UID != object.Status.PoolUID {
		return false
	}
	b := p.bucket(object)
	taken := &slot{pod: pod, pool: p, bucket: b}
	taken.at = b.ready.PushBack(taken)
	s.slots[object.UID] = taken
	p.demand.returned(s.clock.Now(), p.ready() >= p.MinSize)
	return true
}

func (p *pool) ready() int {
	n := 0
	for _, b := range p.buckets {
		n += b.ready.Len()
	}
	return n
}

func (p *pool) bucket(object *v1.WarmPod) *bucket {
	for _, b := range p.buckets {
		if b.template.Hash == object.Status.TemplateHash {
			return b
		}
	}
	// Templates that nothing is left of leave here, so that they are few.
	p.buckets = slices.DeleteFunc(p.buckets, func(b *bucket) bool { return b.ready.Len() == 0 })
	b := &bucket{template: fit.TemplateOf(object)}
	p.buckets = append(p.buckets, b)
	return b
}

// Remove takes a pod off the shelf that cannot be claimed any more, and reports
// whether it was there.
func (s *Shelf) Remove(warmPod types.UID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.slots[warmPod]
	if known == nil || known.at == nil {
		return false
	}
	known.bucket.ready.Remove(known.at)
	delete(s.slots, warmPod)
	return true
}

// Has reports whether the pod can be claimed.
func (s *Shelf) Has(warmPod types.UID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.slots[warmPod]
	return known != nil && known.at != nil
}

// Taken reports whether the pod was handed out.
func (s *Shelf) Taken(warmPod types.UID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.slots[warmPod]
	return known != nil && known.at == nil
}

// Forget drops what is known of a pod that is gone for good.
func (s *Shelf) Forget(warmPod types.UID) {
	s.Remove(warmPod)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.slots, warmPod)
}

// Ready counts the claimable pods of a pool.
func (s *Shelf) Ready(name types.NamespacedName) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.pools[name]; p != nil {
		return p.ready()
	}
	return 0
}

// Reasons why a sandbox gets no warm pod, as condition WarmPodBound has them.
const (
	// ReasonNotAsked: spec.useWarmPool is false.
	ReasonNotAsked = "NotAsked"
	// ReasonRecovering: the server has just started and does not know the pods.
	ReasonRecovering = "Recovering"
	// ReasonNoPool: no pool is for such sandboxes.
	ReasonNoPool = "NoPool"
	// ReasonNoFit: a field cannot be applied to a running pod.
	ReasonNoFit = "NoFit"
	// ReasonPoolEmpty: the pods of the pool are all in use, or not ready.
	ReasonPoolEmpty = "PoolEmpty"
	// ReasonClaimFailed: pods were there, and could not be bound.
	ReasonClaimFailed = "ClaimFailed"
	// ReasonBound: a warm pod was bound.
	ReasonBound = "Bound"
)

// Refusal says why there is no pod for a sandbox.
type Refusal struct {
	Reason, Message string
	// Warn: the user asked for something that made it so.
	Warn bool
	// Pool that should have had a pod; empty if none fits.
	Pool types.NamespacedName
}

// Take hands out a pod that fits the sandbox, for good, or says why there is
// none.
func (s *Shelf) Take(sandbox *v1.Sandbox) (*Pod, *Refusal) {
	pod, pool, refusal := s.take(sandbox)
	if pool.Name != "" {
		s.asked(pool)
	}
	return pod, refusal
}

func (s *Shelf) take(sandbox *v1.Sandbox) (*Pod, types.NamespacedName, *Refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	none := types.NamespacedName{}
	if !s.known {
		return nil, none, &Refusal{Reason: ReasonRecovering, Message: "the server has just started and does not know yet which warm pods are there"}
	}
	found, refusal := s.search(sandbox)
	switch {
	case found.ready != nil:
		b := found.ready
		handed := b.ready.Remove(b.ready.Front()).(*slot)
		handed.at = nil
		found.readyIn.demand.asked(s.clock.Now(), true)
		return &handed.pod, found.readyIn.NamespacedName, nil
	case refusal != nil:
		return nil, none, refusal
	case found.empty != nil:
		found.empty.demand.asked(s.clock.Now(), false)
		return nil, found.empty.NamespacedName, &Refusal{
			Reason: ReasonPoolEmpty, Pool: found.empty.NamespacedName,
			Message: fmt.Sprintf("pool %s fits and has no pod that is ready: the sandbox is made cold while it refills", found.empty.NamespacedName),
		}
	case found.closest != nil:
		list := make([]string, len(found.mismatches))
		for i, m := range found.mismatches {
			list[i] = m.String()
		}
		return nil, none, &Refusal{
			Reason: ReasonNoFit, Warn: true,
			Message: fmt.Sprintf("no pod of pool %s fits: %s", found.closest.NamespacedName, strings.Join(list, "; ")),
		}
	}
	return nil, none, &Refusal{
		Reason: ReasonNoPool,
		Message: fmt.Sprintf("no WarmPool has the RuntimeEnvironment %q with the security level %q for sandboxes of namespace %q",
			sandbox.Status.RuntimeEnvironment, sandbox.Spec.SecurityLevel, sandbox.Namespace),
	}
}

// search is what was found for a sandbox.
type search struct {
	ready   *bucket
	readyIn *pool
	empty   *pool
	// closest is the pool with the fewest mismatches.
	closest    *pool
	mismatches []fit.Mismatch
}

func (s *Shelf) search(sandbox *v1.Sandbox) (search, *Refusal) {
	var found search
	if ref := sandbox.Spec.WarmPoolRef; ref != nil {
		name := types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
		if name.Namespace == "" {
			name.Namespace = sandbox.Namespace
		}
		p := s.pools[name]
		if p == nil || !p.allows(sandbox.Namespace) {
			// One answer for both: whether a pool exists is not for strangers.
			return found, &Refusal{Reason: ReasonNoPool, Warn: true, Message: fmt.Sprintf(
				"spec.warmPoolRef: there is no WarmPool %s for sandboxes of namespace %q", name, sandbox.Namespace)}
		}
		found.consider(sandbox, p, true)
		return found, nil
	}
	for _, p := range s.pools {
		if p.allows(sandbox.Namespace) {
			found.consider(sandbox, p, false)
		}
	}
	return found, nil
}

// consider looks at a pool. One that was named is told what is wrong with it,
// where another one is simply not meant.
func (f *search) consider(sandbox *v1.Sandbox, p *pool, named bool) {
	templates := 0
	for _, b := range slices.Backward(p.buckets) { // what the pool is now first
		templates++
		mismatches, meant := compare(sandbox, b.template, named)
		switch {
		case !meant:
		case len(mismatches) > 0:
			f.mismatch(p, mismatches)
		case b.ready.Len() == 0:
			f.found(p)
		case f.ready == nil || prefer(sandbox, p, b, f.readyIn, f.ready):
			f.ready, f.readyIn = b, p
		}
	}
	if p.Template != nil && !slices.ContainsFunc(p.buckets, func(b *bucket) bool { return b.template.Hash == p.Template.Hash }) {
		templates++
		if mismatches, meant := compare(sandbox, p.Template, named); meant && len(mismatches) > 0 {
			f.mismatch(p, mismatches)
		} else if meant {
			f.found(p)
		}
	}
	if templates == 0 && (named || p.Runtime == sandbox.Spec.Runtime && p.SecurityLevel == sandbox.Spec.SecurityLevel) {
		f.found(p) // nothing is known but that it has nothing
	}
}

func (f *search) found(p *pool) {
	if f.empty == nil || strings.Compare(p.String(), f.empty.String()) < 0 {
		f.empty = p
	}
}

func (f *search) mismatch(p *pool, mismatches []fit.Mismatch) {
	if f.closest == nil || len(mismatches) < len(f.mismatches) ||
		len(mismatches) == len(f.mismatches) && strings.Compare(p.String(), f.closest.String()) < 0 {
		f.closest, f.mismatches = p, mismatches
	}
}

func compare(sandbox *v1.Sandbox, t *fit.Template, named bool) (mismatches []fit.Mismatch, meant bool) {
	if t.Environment != sandbox.Status.RuntimeEnvironment {
		mismatches = append(mismatches, fit.Mismatch{Field: "spec.runtime", Detail: fmt.Sprintf(
			"the RuntimeEnvironment %q is asked and the pod has %q", sandbox.Status.RuntimeEnvironment, t.Environment)})
	}
	if t.SecurityLevel != sandbox.Spec.SecurityLevel {
		mismatches = append(mismatches, fit.Mismatch{Field: "spec.securityLevel", Detail: fmt.Sprintf(
			"%q is asked and the pod has %q", sandbox.Spec.SecurityLevel, t.SecurityLevel)})
	}
	if len(mismatches) > 0 && !named {
		return nil, false
	}
	return append(mismatches, fit.Fit(sandbox, t)...), true
}

// prefer tells whether a pod of bucket a is to be taken rather than one of b:
// one of the sandbox's own namespace, then the one with the least to spare.
func prefer(sandbox *v1.Sandbox, p *pool, a *bucket, q *pool, b *bucket) bool {
	if p == q {
		return false // the newer template was seen first
	}
	if own := p.Namespace == sandbox.Namespace; own != (q.Namespace == sandbox.Namespace) {
		return own
	}
	x, y := &a.template.Resources, &b.template.Resources
	if x.Memory != nil && y.Memory != nil {
		if c := x.Memory.Cmp(*y.Memory); c != 0 {
			return c < 0
		}
	}
	if x.CPU != nil && y.CPU != nil {
		if c := x.CPU.Cmp(*y.CPU); c != 0 {
			return c < 0
		}
	}
	return strings.Compare(p.String(), q.String()) < 0
}
