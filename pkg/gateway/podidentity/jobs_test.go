// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package podidentity

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway/pods/podstest"
	"safebeam.dev/safebeam/pkg/storage"
)

func newTestRecords(t *testing.T) *Records {
	t.Helper()
	options := storage.NewOptions()
	options.BBolt.DataDir = t.TempDir()
	store, err := storage.Open(t.Context(), *options, storage.Config{Scheme: runtime.NewScheme()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	raw, _, err := store.Raw(storage.RawConfig{
		Resource: Resource, Prefix: ResourcePrefix, Codec: Codec(),
		NewFunc:     func() runtime.Object { return &Record{} },
		NewListFunc: func() runtime.Object { return &RecordList{} },
	})
	if err != nil {
		t.Fatal(err)
	}
	return NewRecords(raw)
}

func newPod() Pod {
	return Pod{UID: types.UID(uuid.NewString()), ModelNamespace: "ns", Model: "m", ModelUID: "model", Job: "job"}
}

func models(uid types.UID) func(context.Context, string, string) (*tightbeamv1.TightbeamModel, error) {
	return func(_ context.Context, namespace, name string) (*tightbeamv1.TightbeamModel, error) {
		if uid == "" {
			return nil, apierrors.NewNotFound(tightbeamv1.Resource("tightbeammodels"), name)
		}
		return &tightbeamv1.TightbeamModel{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: uid}}, nil
	}
}

func TestPodIsWhatTheControllerSaid(t *testing.T) {
	t.Parallel()
	records := newTestRecords(t)
	pod := newPod()
	if err := records.Bind(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		token, audience string
		model           types.UID
		known, fails    bool
	}{
		"a job":                          {token: string(pod.UID), audience: AudienceLLMJob, model: "model", known: true},
		"a token for agents":             {token: string(pod.UID), audience: AudienceAgent, model: "model"},
		"a token for the kube-apiserver": {token: string(pod.UID), audience: "https://kubernetes.default.svc", model: "model"},
		"a token without a pod":          {token: "unbound", audience: AudienceLLMJob, model: "model"},
		"a token of two pods":            {token: "twice", audience: AudienceLLMJob, model: "model"},
		"a bad token":                    {token: "bad", audience: AudienceLLMJob, model: "model"},
		"a pod nobody spoke of":          {token: uuid.NewString(), audience: AudienceLLMJob, model: "model", fails: true},
		"a model that is gone":           {token: string(pod.UID), audience: AudienceLLMJob},
		"another model of that name":     {token: string(pod.UID), audience: AudienceLLMJob, model: "another"},
		"a cluster that is away":         {token: "away", audience: AudienceLLMJob, model: "model", fails: true},
	} {
		jobs := &Jobs{Tokens: podstest.Cluster(c.audience), Records: records, Model: models(c.model), wait: time.Millisecond}
		identity, err := jobs.AuthenticateJob(t.Context(), c.token)
		if (err != nil) != c.fails || (identity != nil) != c.known {
			t.Errorf("%s: %+v, %v", name, identity, err)
		}
		if identity != nil && (identity.Namespace != "ns" || identity.Name != "m" || identity.Job != "job" || identity.Role != "llm-job") {
			t.Errorf("%s: %+v", name, identity)
		}
	}
}

func TestPodWaitsForItsRecord(t *testing.T) {
	t.Parallel()
	records := newTestRecords(t)
	pod := newPod()
	jobs := &Jobs{Tokens: podstest.Cluster(AudienceLLMJob), Records: records, Model: models("model"), wait: time.Minute}
	known := make(chan error, 1)
	go func() {
		identity, err := jobs.AuthenticateJob(t.Context(), string(pod.UID))
		if err == nil && identity == nil {
			err = errors.New("nobody")
		}
		known <- err
	}()
	for records.awaited.Len() == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := records.Bind(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	if err := <-known; err != nil {
		t.Error(err)
	}
	if records.awaited.Len() != 0 {
		t.Error("a waiter is left behind")
	}
}

func TestPodIsOfOneJobForLife(t *testing.T) {
	t.Parallel()
	records := newTestRecords(t)
	pod := newPod()
	for range 2 {
		if err := records.Bind(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
	}
	other := pod
	other.Model = "another"
	if err := records.Bind(t.Context(), other); !apierrors.IsConflict(err) {
		t.Errorf("bound again: %v", err)
	}
	if err := records.Drop(t.Context(), "ns", "another", pod.UID); !apierrors.IsConflict(err) {
		t.Errorf("dropped by another model: %v", err)
	}
	if pods, err := records.List(t.Context(), "ns", "m"); err != nil || len(pods) != 1 || pods[0] != pod {
		t.Errorf("%v, %v", pods, err)
	}
	for range 2 {
		if err := records.Drop(t.Context(), "ns", "m", pod.UID); err != nil {
			t.Error(err)
		}
	}
	if pods, err := records.List(t.Context(), "ns", "m"); err != nil || len(pods) != 0 {
		t.Errorf("%v, %v", pods, err)
	}
}

func TestRecordsOfDeletedModelsAreSwept(t *testing.T) {
	t.Parallel()
	records := newTestRecords(t)
	kept, gone := newPod(), newPod()
	gone.Model = "gone"
	for _, pod := range []Pod{kept, gone} {
		if err := records.Bind(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
	}
	if err := records.Sweep(t.Context(), func(_ context.Context, pod Pod) (bool, error) { return pod.Model == "gone", nil }); err != nil {
		t.Fatal(err)
	}
	if pods, err := records.all(t.Context()); err != nil || len(pods) != 1 || pods[0] != kept {
		t.Errorf("%v, %v", pods, err)
	}
}
