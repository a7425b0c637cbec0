// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bindings

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/utils/clock"

	"safebeam.dev/safebeam/pkg/gateway/awaited"
	"safebeam.dev/safebeam/pkg/gateway/statuses"
)

// buried is how long it is remembered that a pod was dropped: far longer than
// a request that still speaks of it can be under way.
const buried = 10 * time.Minute

// Store keeps the bindings. It is safe for concurrent use.
type Store struct {
	storage storage.Interface
	clock   clock.PassiveClock

	mu   sync.RWMutex
	pods map[types.UID]*entry
	// owners has the pod of each owner, from the moment that one is being
	// bound to it until the tombstone of the pod is forgotten.
	owners map[types.UID]types.UID
	// tombs are the pods that were dropped, in the order in which they were.
	tombs   map[types.UID]Binding
	buriedQ []tomb
	// awaited are told of under mu, so that nobody misses it who has looked.
	awaited awaited.Names[types.UID]
}

// entry is a pod that is bound, or being written.
type entry struct {
	binding Binding
	durable bool
	// writing is not nil while a write of the record is under way; it is
	// closed when that has ended.
	writing chan struct{}
}

type tomb struct {
	pod   types.UID
	owner types.UID
	at    time.Time
}

// NewStore keeps bindings in s, which must encode with Codec below
// ResourcePrefix and needs no watch cache. Nothing is known before Recover.
func NewStore(s storage.Interface, clock clock.PassiveClock) *Store {
	return &Store{
		storage: s, clock: clock,
		pods: map[types.UID]*entry{}, owners: map[types.UID]types.UID{},
		tombs: map[types.UID]Binding{},
	}
}

func key(uid types.UID) string { return ResourcePrefix + "/" + string(uid) }

// Recover reads the bindings that an earlier process left. It must have
// returned before anything else is called.
func (s *Store) Recover(ctx context.Context) error {
	list := &RecordList{}
	if err := s.storage.GetList(ctx, ResourcePrefix+"/", storage.ListOptions{Predicate: storage.Everything, Recursive: true}, list); err != nil {
		return fmt.Errorf("reading the bindings of pods: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range list.Items {
		binding := list.Items[i].Binding
		s.pods[binding.PodUID] = &entry{binding: binding, durable: true}
		s.owners[binding.Owner.UID] = binding.PodUID
	}
	return nil
}

// ByPod returns whose a pod is.
func (s *Store) ByPod(podUID types.UID) (Binding, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byPodLocked(podUID)
}

func (s *Store) byPodLocked(podUID types.UID) (Binding, bool) {
	if e := s.pods[podUID]; e != nil && e.durable {
		return e.binding, true
	}
	return Binding{}, false
}

// ByOwner returns the pod of the Sandbox or WarmPod with that UID.
func (s *Store) ByOwner(uid types.UID) (Binding, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	binding, ok := s.byPodLocked(s.owners[uid])
	return binding, ok && binding.Owner.UID == uid
}

// Dropped reports whether the pod had an owner and was dropped of late.
func (s *Store) Dropped(podUID types.UID) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, dropped := s.tombs[podUID]
	return dropped
}

// List returns all bindings.
func (s *Store) List(context.Context) ([]Binding, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]Binding, 0, len(s.pods))
	for _, e := range s.pods {
		if e.durable {
			list = append(list, e.binding)
		}
	}
	return list, nil
}

// Bind says whose a new pod is. To say it again is no error; to say something
// else, of the pod or of the owner, is a conflict.
func (s *Store) Bind(ctx context.Context, binding Binding) error {
	e, there, err := s.reserve(ctx, binding)
	if err != nil || there {
		return err
	}
	ctx, cancel := write(ctx)
	defer cancel()
	err = s.storage.Create(ctx, key(binding.PodUID), &Record{
		ObjectMeta: metav1.ObjectMeta{Name: string(binding.PodUID)}, Binding: binding,
	}, &Record{}, 0)
	if storage.IsExist(err) {
		// A write whose answer was lost.
		err = s.confirm(ctx, binding)
	}
	s.settle(e, binding, err)
	return err
}

func (s *Store) confirm(ctx context.Context, binding Binding) error {
	record := &Record{}
	if err := s.storage.Get(ctx, key(binding.PodUID), storage.GetOptions{}, record); err != nil {
		return err
	}
	if record.Binding != binding {
		return conflict(binding.PodUID, "the pod is bound to %s", record.Binding.Owner)
	}
	return nil
}

// reserve makes an entry that is being written, unless the binding is there.
func (s *Store) reserve(ctx context.Context, binding Binding) (_ *entry, there bool, _ error) {
	pod, owner := binding.PodUID, binding.Owner
	for {
		s.mu.Lock()
		s.forgetLocked()
		if _, dropped := s.tombs[pod]; dropped {
			s.mu.Unlock()
			return nil, false, conflict(pod, "the pod was dropped: it is nobody's for good")
		}
		e := s.pods[pod]
		if e == nil {
			if other, taken := s.owners[owner.UID]; taken {
				s.mu.Unlock()
				return nil, false, conflict(pod, "%s has the pod %s, for life", owner, other)
			}
			e = &entry{binding: binding, writing: make(chan struct{})}
			s.pods[pod], s.owners[owner.UID] = e, pod
			s.mu.Unlock()
			return e, false, nil
		}
		writing, now, durable := e.writing, e.binding, e.durable
		if writing == nil && now == binding && !durable {
			e.writing = make(chan struct{}) // nobody knows, so it is said again
			s.mu.Unlock()
			return e, false, nil
		}
		s.mu.Unlock()
		if writing == nil {
			if now != binding {
				return nil, false, conflict(pod, "the pod is bound to %s", now.Owner)
			}
			return nil, true, nil
		}
		if err := await(ctx, writing); err != nil {
			return nil, false, err
		}
	}
}

// settle ends the write of an entry. One that nobody answered may be stored, or be
// yet: its pod stays the owner's, until that is said again or the pod is dropped, with
// its record.
func (s *Store) settle(e *entry, binding Binding, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(e.writing)
	e.writing = nil
	if statuses.Undecided(err) {
		return
	}
	if err != nil {
		delete(s.pods, binding.PodUID)
		delete(s.owners, binding.Owner.UID)
		return
	}
	e.binding, e.durable = binding, true
	s.awaited.Tell(binding.PodUID)
}

// Claim makes the pod of a WarmPod that of a Sandbox. It is a conflict if the
// pod is not from's any more, or if the Sandbox has a pod.
func (s *Store) Claim(ctx context.Context, podUID types.UID, from, to Owner) error {
	return s.claim(ctx, podUID, from, to, s.storage.GuaranteedUpdate, nil)
}

// ClaimWith is Claim and another write that are of no use without each other. On
// a store that keeps the order of writes the claim is ordered ahead of the other
// one and durable no later than that: if the other one leaves its sync to the
// caller's next write, so does the claim. Elsewhere both are under way at once, and
// durable when it returns. Each of them may have been made although the other has
// failed.
func (s *Store) ClaimWith(ctx context.Context, podUID types.UID, from, to Owner, other func() error) error {
	if ordered, ok := s.storage.(ordering); ok {
		return s.claim(ctx, podUID, from, to, ordered.UpdateAhead, other)
	}
	var otherErr error
	var wait sync.WaitGroup
	wait.Go(func() { otherErr = other() })
	err := s.Claim(ctx, podUID, from, to)
	wait.Wait()
	return errors.Join(err, otherErr)
}

// ordering is a store that keeps the order of writes.
type ordering interface {
	UpdateAhead(ctx context.Context, key string, out runtime.Object, ignoreNotFound bool,
		preconditions *storage.Preconditions, tryUpdate storage.UpdateFunc, cached runtime.Object) error
}

// claim writes the record by update and then does what is to come behind it. The
// claim is told of when both are made.
func (s *Store) claim(ctx context.Context, podUID types.UID, from, to Owner, update func(context.Context, string, runtime.Object, bool,
	*storage.Preconditions, storage.UpdateFunc, runtime.Object) error, behind func() error) error {
	e, err := s.reserveClaim(ctx, podUID, from, to)
	if err != nil {
		return err
	}
	if e == nil { // made before
		if behind != nil {
			return behind()
		}
		return nil
	}
	claimed := e.binding
	claimed.Owner = to
	ctx, cancel := write(ctx)
	defer cancel()
	err = update(ctx, key(podUID), &Record{}, false, nil,
		func(input runtime.Object, _ storage.ResponseMeta) (runtime.Object, *uint64, error) {
			record := input.(*Record)
			// A write whose answer was lost may have brought it there.
			if owner := record.Binding.Owner; owner != from && owner != to {
				return nil, nil, conflict(podUID, "the pod is bound to %s", owner)
			}
			record.Binding.Owner = to
			return record, nil, nil
		}, nil)
	if err == nil && behind != nil {
		err = behind()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	close(e.writing)
	e.writing = nil
	if err != nil {
		delete(s.owners, to.UID)
		return err
	}
	e.binding = claimed
	delete(s.owners, from.UID)
	return nil
}

// reserveClaim returns nil if the claim has been made before.
func (s *Store) reserveClaim(ctx context.Context, pod types.UID, from, to Owner) (*entry, error) {
	for {
		s.mu.Lock()
		e := s.pods[pod]
		if e == nil || e.writing == nil && !e.durable {
			s.mu.Unlock()
			return nil, apierrors.NewNotFound(Resource, string(pod))
		}
		writing, owner := e.writing, e.binding.Owner
		if writing != nil {
			s.mu.Unlock()
			if err := await(ctx, writing); err != nil {
				return nil, err
			}
			continue
		}
		other, taken := s.owners[to.UID]
		switch {
		case owner == to:
			s.mu.Unlock()
			return nil, nil
		case owner != from:
			s.mu.Unlock()
			return nil, conflict(pod, "the pod is bound to %s", owner)
		case taken:
			s.mu.Unlock()
			return nil, conflict(pod, "%s has the pod %s, for life", to, other)
		}
		e.writing = make(chan struct{})
		s.owners[to.UID] = pod
		s.mu.Unlock()
		return e, nil
	}
}

// Drop says that a pod is gone. It may be called again.
func (s *Store) Drop(ctx context.Context, podUID types.UID) error {
	return s.DropIf(ctx, podUID, func(Owner) bool { return true })
}

// DropIf is Drop if the pod has an owner that is wanted, and a conflict if it
// has another one.
func (s *Store) DropIf(ctx context.Context, podUID types.UID, wanted func(Owner) bool) error {
	for {
		s.mu.Lock()
		e := s.pods[podUID]
		if e == nil {
			s.mu.Unlock()
			return nil
		}
		if e.writing == nil {
			if owner := e.binding.Owner; !wanted(owner) {
				s.mu.Unlock()
				return conflict(podUID, "the pod is bound to %s", owner)
			}
			e.writing = make(chan struct{})
			s.mu.Unlock()
			ctx, cancel := write(ctx)
			defer cancel()
			err := s.storage.Delete(ctx, key(podUID), &Record{}, nil, storage.ValidateAllObjectFunc, nil, storage.DeleteOptions{})
			if storage.IsNotFound(err) {
				err = nil
			}
			s.bury(e, err)
			return err
		}
		writing := e.writing
		s.mu.Unlock()
		if err := await(ctx, writing); err != nil {
			return err
		}
	}
}

func (s *Store) bury(e *entry, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(e.writing)
	e.writing = nil
	if err != nil {
		return
	}
	pod := e.binding.PodUID
	delete(s.pods, pod)
	s.tombs[pod] = e.binding
	s.buriedQ = append(s.buriedQ, tomb{pod, e.binding.Owner.UID, s.clock.Now()})
	s.forgetLocked()
}

// forgetLocked forgets tombstones that have stood long enough.
func (s *Store) forgetLocked() {
	now, n := s.clock.Now(), 0
	for n < len(s.buriedQ) && now.Sub(s.buriedQ[n].at) >= buried {
		old := s.buriedQ[n]
		delete(s.tombs, old.pod)
		if s.owners[old.owner] == old.pod {
			delete(s.owners, old.owner)
		}
		n++
	}
	s.buriedQ = s.buriedQ[n:]
}

// writeTimeout bounds one write of the store.
const writeTimeout = 30 * time.Second

// write is the context of a write: it does not end with the request, so that
// what memory and store say of a pod does not come apart.
func write(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
}

func conflict(pod types.UID, format string, args ...any) error {
	return apierrors.NewConflict(Resource, string(pod), fmt.Errorf(format, args...))
}

func await(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
