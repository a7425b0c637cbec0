// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/klog/v2"

	"safebeam.dev/safebeam/pkg/storage"
)

// snapshotPath serves the state of the store. It holds every object, every log
// and the server's own keys, so the verb get on it is an admin's alone.
const snapshotPath = "/snapshot"

// snapshots serves one snapshot at a time: each keeps pages of the store from
// being used again until it is through.
type snapshots struct {
	take func(ctx context.Context, w io.Writer) error
	slot chan struct{}
}

func newSnapshots(store *storage.Factory) *snapshots {
	return &snapshots{take: store.Snapshot, slot: make(chan struct{}, 1)}
}

// ServeHTTP implements http.Handler.
func (s *snapshots) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refuse := func(err error) {
		responsewriters.ErrorNegotiated(err, Codecs, schema.GroupVersion{Version: "v1"}, w, r)
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		refuse(apierrors.NewMethodNotSupported(schema.GroupResource{Resource: snapshotPath}, r.Method))
		return
	}
	select {
	case s.slot <- struct{}{}:
		defer func() { <-s.slot }()
	default:
		refuse(apierrors.NewTooManyRequests("another snapshot is being taken; one at a time", 10))
		return
	}

	out := &begun{w: w}
	err := s.take(r.Context(), out)
	switch {
	case err == nil || r.Context().Err() != nil:
	case errors.Is(err, storage.ErrNoSnapshot):
		refuse(apierrors.NewBadRequest(err.Error()))
	case !out.yes:
		refuse(apierrors.NewInternalError(fmt.Errorf("taking a snapshot: %w", err)))
	default:
		// The head is out: break off, so that nobody takes this for a whole one.
		klog.FromContext(r.Context()).Error(err, "Snapshot broken off")
		panic(http.ErrAbortHandler)
	}
}

// begun knows whether anything was written, and says what it is first.
type begun struct {
	w   http.ResponseWriter
	yes bool
}

func (b *begun) Write(data []byte) (int, error) {
	if !b.yes {
		b.yes = true
		b.w.Header().Set("Content-Type", "application/octet-stream")
	}
	return b.w.Write(data)
}
