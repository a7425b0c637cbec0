// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpods

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// Wrap puts the claim around the storage of sandboxes, below admission, quota,
// validation and dry run: what reaches it is meant.
func (c *Claimer) Wrap(inner storage.Interface, _ string) storage.Interface {
	return &sandboxStorage{inner, c}
}

type sandboxStorage struct {
	storage.Interface
	claimer *Claimer
}

// Create stores a sandbox: Running on a warm pod, or as it came, with the reason
// why there is none.
func (s *sandboxStorage) Create(ctx context.Context, key string, obj, out runtime.Object, ttl uint64) error {
	c := s.claimer
	sandbox, ok := obj.(*v1.Sandbox)
	if !ok {
		return fmt.Errorf("%T is no sandbox", obj)
	}
	began := c.Clock.Now()
	if received, ok := request.ReceivedTimestampFrom(ctx); ok && received.Before(began) {
		began = received
	}
	if !ptr.Deref(sandbox.Spec.UseWarmPool, true) {
		cold(sandbox, &Refusal{Reason: ReasonNotAsked, Message: "spec.useWarmPool is false"}, c.Clock.Now())
		return s.Interface.Create(ctx, key, sandbox, out, ttl)
	}
	release := c.names.hold(key)
	defer release()
	// A name that is taken burns no pod. Live sees every write of this process,
	// which is the only one that writes, before the writer hears of it.
	if c.Live.Find(sandbox.Namespace, sandbox.Name) != nil {
		return storage.NewKeyExistsError(key, 0)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), createTimeout)
	defer cancel()

	pod, refusal := c.claim(ctx, sandbox, began)
	if refusal != nil {
		c.Metrics.missed(refusal)
		cold(sandbox, refusal, c.Clock.Now())
		if refusal.Warn {
			warning.AddWarning(ctx, "", "no warm pod: "+refusal.Message)
		}
		return s.Interface.Create(ctx, key, sandbox, out, ttl)
	}
	if err := s.Interface.Create(ctx, key, sandbox, out, ttl); err != nil {
		c.settle(pod, sandbox, err)
		return err
	}
	c.Metrics.bound(pod.Object, c.Clock.Since(began))
	return nil
}

// milliseconds since a time, rounded up: what took some time is not shown as
// none.
func milliseconds(since, until time.Time) int64 {
	return max(0, int64((until.Sub(since)+time.Millisecond-1)/time.Millisecond))
}
