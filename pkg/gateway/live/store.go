// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"errors"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/storage"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/statuses"
)

// Wrap returns the storage of sandboxes with Live watching every write: inner
// stores them below prefix, which begins with a slash and has none at its end. It
// is called once, before Recover.
func (l *Live) Wrap(inner storage.Interface, prefix string) storage.Interface {
	watched := &watched{Interface: inner, live: l}
	l.store = statuses.Store[*v1.Sandbox]{
		Storage: watched, Prefix: prefix, Resource: "sandbox",
		New:     func() *v1.Sandbox { return &v1.Sandbox{} },
		NewList: func() runtime.Object { return &v1.SandboxList{} },
	}
	return watched
}

// watched is a storage whose writes are seen.
type watched struct {
	storage.Interface
	live *Live
}

func (w *watched) Create(ctx context.Context, key string, obj, out runtime.Object, ttl uint64) error {
	if out == nil {
		out = &v1.Sandbox{}
	}
	if err := w.Interface.Create(ctx, key, obj, out, ttl); err != nil {
		w.settle(key, true, err)
		return err
	}
	w.live.observe(out.(*v1.Sandbox), true)
	return nil
}

func (w *watched) GuaranteedUpdate(ctx context.Context, key string, out runtime.Object, ignoreNotFound bool, preconditions *storage.Preconditions, update storage.UpdateFunc, cached runtime.Object) error {
	if err := w.Interface.GuaranteedUpdate(ctx, key, out, ignoreNotFound, preconditions, update, cached); err != nil {
		w.settle(key, false, err)
		return err
	}
	w.live.observe(out.(*v1.Sandbox), false)
	return nil
}

func (w *watched) Delete(ctx context.Context, key string, out runtime.Object, preconditions *storage.Preconditions, validate storage.ValidateObjectFunc, cached runtime.Object, options storage.DeleteOptions) error {
	if err := w.Interface.Delete(ctx, key, out, preconditions, validate, cached, options); err != nil {
		w.settle(key, false, err)
		return err
	}
	w.live.forget(out.(*v1.Sandbox))
	return nil
}

// underWay is how long a write that nobody answered may yet be made.
const underWay = 30 * time.Second

// settle observes what became of a write that failed and may have been made, if only
// because its client went away, or may yet be made.
func (w *watched) settle(key string, made bool, because error) {
	if !statuses.Undecided(because) {
		return
	}
	w.live.task(func(ctx context.Context) {
		if w.look(ctx, key, made) != nil || w.live.sleep(ctx, underWay) != nil {
			return
		}
		_ = w.look(ctx, key, made)
	})
}

// look observes a sandbox as it is stored. The error is that of ctx.
func (w *watched) look(ctx context.Context, key string, made bool) error {
	l := w.live
	namespace, name, _ := strings.Cut(strings.TrimPrefix(key, l.store.Prefix+"/"), "/")
	for {
		known, stored := l.Find(namespace, name), &v1.Sandbox{}
		err := w.Get(ctx, key, storage.GetOptions{}, stored)
		if err != nil && !storage.IsNotFound(err) {
			l.logger.Error(err, "Reading a sandbox failed, will try again", "sandbox", namespace+"/"+name)
			if err := l.sleep(ctx, time.Second); err != nil {
				return err
			}
			continue
		}
		if known != nil && (err != nil || stored.UID != known.UID) {
			l.forget(known)
		}
		if err == nil {
			l.observe(stored, made && l.Get(stored.UID) == nil)
		}
		return nil
	}
}

// errOver says that a sandbox is over, and errSame that there is nothing to change.
var (
	errOver = errors.New("the sandbox is over")
	errSame = errors.New("nothing to change")
)

// update changes a sandbox, whose status no client may. It fails with errOver if it
// is terminal.
func (l *Live) update(ctx context.Context, known *v1.Sandbox, change func(*v1.Sandbox) error) error {
	_, err := l.store.Update(ctx, known, func(sandbox *v1.Sandbox) error {
		if sandbox.Status.Phase.Terminal() {
			return errOver
		}
		return change(sandbox)
	})
	return err
}

// pointless reports whether err says that there is nothing to write any more.
func pointless(err error) bool {
	return errors.Is(err, errOver) || errors.Is(err, errSame) || statuses.Gone(err) || apierrors.IsNotFound(err)
}

// write changes a sandbox, again and again until it succeeds or is pointless.
func (l *Live) write(ctx context.Context, what string, uid types.UID, change func(*v1.Sandbox) error) error {
	delay := 50 * time.Millisecond
	for {
		object := l.Get(uid)
		if object == nil {
			return errOver
		}
		err := l.update(ctx, object, change)
		if err == nil || pointless(err) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		l.logger.Error(err, "Will try again", "what", what, "sandbox", object.Namespace+"/"+object.Name, "after", delay)
		if err := l.sleep(ctx, delay); err != nil {
			return err
		}
		delay = min(2*delay, 5*time.Second)
	}
}

func (l *Live) sleep(ctx context.Context, d time.Duration) error {
	timer := l.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C():
		return nil
	}
}
