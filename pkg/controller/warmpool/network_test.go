// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpool

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"k8s.io/client-go/tools/cache"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/warmpods/fit"
	"safebeam.dev/safebeam/pkg/launcher"
)

// told is a launcher and the gateway's records, of which nothing is asked here but
// what they were told, in which order.
type told struct {
	launcher.SandboxLauncher
	words []string
	err   error // of Open
}

func (o *told) Open(_ context.Context, pod launcher.Pod, from string, access *v1.NetworkAccess) error {
	o.words = append(o.words, fmt.Sprintf("open %s to %v, in %t from %s", pod.Name, access.Egress, access.Ingress, from))
	return o.err
}

// errEnough ends the making of the pod: what comes after the binding is no matter here.
var errEnough = errors.New("enough")

func (o *told) Bind(context.Context, *v1.WarmPod, launcher.Pod) error {
	o.words = append(o.words, "bind")
	return errEnough
}

func (o *told) Drop(context.Context, cache.ObjectName) error { return nil }

func TestTheWayOutIsOpenBeforeAnythingIsPreloadedAndTheWayInIsNot(t *testing.T) {
	t.Parallel()
	index := []v1.NetworkRule{{CIDR: "192.0.2.7/32"}}
	opened := fmt.Sprintf("open p-1 to %v, in false from pools", index)
	broken := errors.New("the API server is away")
	for name, tc := range map[string]struct {
		access *v1.NetworkAccess
		err    error
		words  []string
		fails  error
	}{
		"closed":                          {words: []string{"bind"}, fails: errEnough},
		"in alone":                        {access: &v1.NetworkAccess{Ingress: true}, words: []string{"bind"}, fails: errEnough},
		"out":                             {access: &v1.NetworkAccess{Egress: index}, words: []string{opened, "bind"}, fails: errEnough},
		"both":                            {access: &v1.NetworkAccess{Egress: index, Ingress: true}, words: []string{opened, "bind"}, fails: errEnough},
		"a launcher that has no network":  {access: &v1.NetworkAccess{Egress: index}, err: &launcher.Refusal{Reason: launcher.ReasonNotSupported}, words: []string{opened, "bind"}, fails: errEnough},
		"nothing is bound that is closed": {access: &v1.NetworkAccess{Egress: index}, err: broken, words: []string{opened}, fails: broken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &told{err: tc.err}
			c := &Controller{Options: Options{Launcher: o, Bindings: o}}
			err := c.described(t.Context(), &v1.WarmPod{}, &v1.WarmPool{}, &fit.Template{NetworkAccess: tc.access}, launcher.Pod{Namespace: "pools", Name: "p-1"})
			if !errors.Is(err, tc.fails) || !reflect.DeepEqual(o.words, tc.words) {
				t.Errorf("got %v and %q, want %v and %q", err, o.words, tc.fails, tc.words)
			}
		})
	}
}
