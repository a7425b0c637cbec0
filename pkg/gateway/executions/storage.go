// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package executions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/statuses"
)

// createTimeout bounds the writes of one create, which do not end with the
// client's connection.
const createTimeout = 30 * time.Second

// statusBytes is the room that an execution's object must leave for its status: one
// that is accepted can always be ended.
const statusBytes = 512 << 10

// executionStorage is the storage of executions with the runner in its path, below
// admission, quota, validation and dry run: what reaches it is meant.
type executionStorage struct {
	storage.Interface
	runner *Runner
}

// Create stores an execution, as Running where it can start at once, and hands it
// to the runner: there is no watch and no second write between the two.
func (s *executionStorage) Create(ctx context.Context, key string, obj, out runtime.Object, ttl uint64) error {
	r := s.runner
	object, ok := obj.(*v1.Execution)
	if !ok {
		return fmt.Errorf("%T is no execution", obj)
	}
	sandbox := r.Live.Get(object.Status.SandboxUID)
	if over(sandbox) {
		return apierrors.NewConflict(v1.Resource("executions"), object.Name, fmt.Errorf("it cannot run: %s", sandboxOver(sandbox).message))
	}
	if err := r.check(ctx, object, sandbox); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), createTimeout)
	defer cancel()
	e := r.newExecution(object, r.Clock.Now())
	runs, err := r.enter(e, sandbox)
	if err != nil {
		return err
	}
	if runs {
		object.Status.Phase, object.Status.StartTime = v1.ExecutionRunning, ptr.To(e.now())
	}
	if out == nil {
		out = &v1.Execution{}
	}
	if err := s.Interface.Create(ctx, key, object, out, ttl); err != nil {
		r.settle(e, runs, err)
		return err
	}
	e.set(out.(*v1.Execution).DeepCopy())
	r.accept(e, runs)
	return nil
}

// accept lets a stored execution go on.
func (r *Runner) accept(e *execution, runs bool) {
	if !runs {
		r.wait(e)
		return
	}
	r.task(func(context.Context) { e.run(false) })
	// The sandbox may have gone while that was written.
	if sandbox := r.Live.Get(e.sandboxUID()); over(sandbox) {
		r.sandboxOver(e.sandboxUID(), sandbox)
	}
}

// settle finds out, for as long as it takes, whether an execution whose create
// failed is stored after all.
func (r *Runner) settle(e *execution, runs bool, because error) {
	var status apierrors.APIStatus
	if storage.IsExist(because) || errors.As(because, &status) {
		e.stop(because)
		r.leave(e, runs)
		return
	}
	r.task(func(ctx context.Context) {
		if statuses.Undecided(because) {
			// The write may still be on its way.
			timer := r.Clock.NewTimer(createTimeout)
			defer timer.Stop()
			select {
			case <-timer.C():
			case <-ctx.Done():
				return
			}
		}
		var stored *v1.Execution
		err := r.insist(ctx, "settling the create of execution "+e.String(), func(ctx context.Context) (err error) {
			stored, err = r.store.Get(ctx, e.namespace, e.name)
			return err
		})
		switch {
		case err != nil && ctx.Err() != nil:
		case stored == nil || stored.UID != e.uid:
			e.stop(because)
			r.leave(e, runs)
		default:
			e.set(stored)
			r.accept(e, runs)
		}
	})
}

// check refuses what could not be run, or not be ended.
func (r *Runner) check(ctx context.Context, object *v1.Execution, sandbox *v1.Sandbox) error {
	data, err := json.Marshal(object)
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	if limit := r.MaxObjectBytes - statusBytes; len(data) > limit {
		return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("the execution is %d bytes as JSON; the store takes at most %d", len(data), limit))
	}
	if object.Spec.Code == "" {
		return nil
	}
	language, err := r.language(ctx, sandbox, &object.Spec)
	if err != nil {
		return err
	}
	if _, ok := interpreterOf(language); !ok {
		return apierrors.NewInvalid(v1.Kind("Execution"), object.Name, field.ErrorList{
			field.Invalid(field.NewPath("spec", "language"), language, unknownLanguage(language)),
		})
	}
	return nil
}

// Delete removes an execution, its output, and its process if it has one.
func (s *executionStorage) Delete(ctx context.Context, key string, out runtime.Object, preconditions *storage.Preconditions, validate storage.ValidateObjectFunc, cached runtime.Object, options storage.DeleteOptions) error {
	if err := s.Interface.Delete(ctx, key, out, preconditions, validate, cached, options); err != nil {
		return err
	}
	object, ok := out.(*v1.Execution)
	if !ok {
		return nil
	}
	r := s.runner
	if e := r.find(object.UID); e != nil {
		r.task(func(ctx context.Context) { e.deleted(ctx) })
		return nil
	}
	uid, name := object.UID, object.Namespace+"/"+object.Name
	r.task(func(ctx context.Context) {
		_ = r.insist(ctx, "removing the output of execution "+name, func(ctx context.Context) error {
			return r.Journal.Drop(ctx, root(uid))
		})
	})
	return nil
}

// deleted ends an execution whose object is gone.
func (e *execution) deleted(ctx context.Context) {
	if e.runner.dequeue(e) {
		e.vanished(false)
		return
	}
	e.end(ctx, &endError{outcome{phase: v1.ExecutionCancelled, reason: reasonDeleted, message: "the execution was deleted"}})
}

// newStore is of the executions that are stored below prefix.
func newStore(inner storage.Interface, prefix string) statuses.Store[*v1.Execution] {
	return statuses.Store[*v1.Execution]{
		Storage: inner, Prefix: prefix, Resource: "execution",
		New:     func() *v1.Execution { return &v1.Execution{} },
		NewList: func() runtime.Object { return &v1.ExecutionList{} },
	}
}

var errEnded = errors.New("the execution has ended")

// pointless reports whether err says that there is nothing to write any more: the
// execution has ended, was deleted, or replaced by another of its name.
func pointless(err error) bool {
	return errors.Is(err, errEnded) || statuses.Gone(err)
}

func notFound(err error) bool { return grpcstatus.Code(err) == codes.NotFound }

// update changes the status of an unfinished execution. What it fails with may be
// pointless to repeat.
func (r *Runner) update(ctx context.Context, known *v1.Execution, change func(*v1.ExecutionStatus)) (*v1.Execution, error) {
	return r.store.Update(ctx, known, func(object *v1.Execution) error {
		if object.Status.Phase.Terminal() {
			return errEnded
		}
		change(&object.Status)
		return nil
	})
}
