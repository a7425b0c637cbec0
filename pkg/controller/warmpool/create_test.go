// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpool

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/utils/clock"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned/fake"
)

func TestARefusedWarmPodIsNotTriedForEachThatIsMissing(t *testing.T) {
	t.Parallel()
	client := fake.NewSimpleClientset()
	var creates atomic.Int32
	client.PrependReactor("create", "warmpods", func(clienttesting.Action) (bool, runtime.Object, error) {
		creates.Add(1)
		return true, nil, apierrors.NewForbidden(v1.Resource("warmpods"), "", errors.New("the namespace is being terminated"))
	})
	m := &memory{creating: map[string]time.Time{}}
	c := &Controller{Options: Options{Client: client, Clock: clock.RealClock{}}, known: map[types.UID]*memory{"pool": m}}
	pool := &v1.WarmPool{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "pool", UID: "pool"}}
	if err := c.create(t.Context(), pool, 100); !apierrors.IsForbidden(err) {
		t.Errorf("got %v", err)
	}
	if n := creates.Load(); n < 1 || n > inParallel {
		t.Errorf("%d creates, of which %d may be under way at a time", n, inParallel)
	}
	if len(m.creating) != 0 {
		t.Errorf("%d are thought to be made", len(m.creating))
	}
}
