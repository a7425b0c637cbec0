// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apistorage "k8s.io/apiserver/pkg/storage"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// lagging is a store and its watch cache, each with a version of one object;
// empty: they have none.
type lagging struct {
	stored, cached string
	parsed         int
}

func (l *lagging) Get(_ context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	version := l.cached
	if options.ResourceVersion == "" {
		l.parsed++
		version = l.stored
	}
	if version == "" {
		return nil, apierrors.NewNotFound(tightbeamv1.Resource("conversations"), name)
	}
	return &tightbeamv1.Conversation{ObjectMeta: metav1.ObjectMeta{Name: name, ResourceVersion: version}}, nil
}

type storedVersion struct{ *lagging }

func (s storedVersion) Get(_ context.Context, key string, _ apistorage.GetOptions, into runtime.Object) error {
	if s.stored == "" {
		return apistorage.NewKeyNotFoundError(key, 0)
	}
	into.(*metav1.PartialObjectMetadata).ResourceVersion = s.stored
	return nil
}

func TestWhatIsReadIsWhatIsStoredWhateverTheWatchCacheHas(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name           string
		stored, cached string
		parsed         int
	}{
		{"the cache is up to date", "2", "2", 0},
		{"the cache is behind", "2", "1", 1},
		{"the cache does not know it yet", "2", "", 1},
		{"the cache does not know yet that it is gone", "", "2", 1},
		{"there is none", "", "", 1},
	} {
		l := &lagging{stored: test.stored, cached: test.cached}
		c := current{l, func(_ context.Context, name string) (string, error) { return "/" + name, nil }, storedVersion{l}}
		got, err := c.Get(t.Context(), "c", &metav1.GetOptions{})
		switch {
		case test.stored == "":
			if !apierrors.IsNotFound(err) {
				t.Errorf("%s: %v, %v", test.name, got, err)
			}
		case err != nil:
			t.Errorf("%s: %v", test.name, err)
		default:
			if version := got.(*tightbeamv1.Conversation).ResourceVersion; version != test.stored {
				t.Errorf("%s: version %s", test.name, version)
			}
		}
		if l.parsed != test.parsed {
			t.Errorf("%s: the store was parsed %d times, not %d", test.name, l.parsed, test.parsed)
		}
	}
}
