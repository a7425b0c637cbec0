// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package podidentity

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/storage"

	"safebeam.dev/safebeam/pkg/gateway/awaited"
)

// Records are what the controller has said of pods. It is safe for concurrent
// use.
type Records struct {
	storage storage.Interface
	awaited awaited.Names[types.UID]
}

// NewRecords returns the records in s, which must encode with Codec below
// ResourcePrefix and needs no watch cache.
func NewRecords(s storage.Interface) *Records {
	return &Records{storage: s}
}

func key(uid types.UID) string { return ResourcePrefix + "/" + string(uid) }

// Bind records what a pod is there for. To say it again is no error, to say
// something else is: a pod is of one job for life.
func (r *Records) Bind(ctx context.Context, pod Pod) error {
	err := r.storage.GuaranteedUpdate(ctx, key(pod.UID), &Record{}, true, nil,
		func(input runtime.Object, _ storage.ResponseMeta) (runtime.Object, *uint64, error) {
			record := input.(*Record)
			if record.Name != "" && record.Pod != pod {
				return nil, nil, apierrors.NewConflict(Resource, string(pod.UID), fmt.Errorf("the pod is recorded as one of job %q of model %q", record.Pod.Job, record.Pod.Model))
			}
			record.Name = string(pod.UID)
			record.Pod = pod
			return record, nil, nil
		}, nil)
	if err != nil {
		return err
	}
	r.awaited.Tell(pod.UID)
	return nil
}

// Drop removes the record of a pod that is gone, if it is one of that model.
func (r *Records) Drop(ctx context.Context, namespace, model string, uid types.UID) error {
	err := r.storage.Delete(ctx, key(uid), &Record{}, nil, func(_ context.Context, obj runtime.Object) error {
		if pod := obj.(*Record).Pod; pod.ModelNamespace != namespace || pod.Model != model {
			return apierrors.NewConflict(Resource, string(uid), fmt.Errorf("the pod is one of model %q in namespace %q", pod.Model, pod.ModelNamespace))
		}
		return nil
	}, nil, storage.DeleteOptions{})
	if storage.IsNotFound(err) {
		return nil
	}
	return err
}

// List returns the recorded pods of a model, of every UID that it ever had.
func (r *Records) List(ctx context.Context, namespace, model string) ([]Pod, error) {
	all, err := r.all(ctx)
	if err != nil {
		return nil, err
	}
	var ofModel []Pod
	for _, pod := range all {
		if pod.ModelNamespace == namespace && pod.Model == model {
			ofModel = append(ofModel, pod)
		}
	}
	return ofModel, nil
}

func (r *Records) all(ctx context.Context) ([]Pod, error) {
	list := &RecordList{}
	if err := r.storage.GetList(ctx, ResourcePrefix+"/", storage.ListOptions{Predicate: storage.Everything, Recursive: true}, list); err != nil {
		return nil, err
	}
	all := make([]Pod, 0, len(list.Items))
	for i := range list.Items {
		all = append(all, list.Items[i].Pod)
	}
	return all, nil
}

// Sweep drops the records of models that gone says are gone.
func (r *Records) Sweep(ctx context.Context, gone func(ctx context.Context, pod Pod) (bool, error)) error {
	all, err := r.all(ctx)
	if err != nil {
		return err
	}
	for _, pod := range all {
		isGone, err := gone(ctx, pod)
		if err != nil {
			return err
		}
		if !isGone {
			continue
		}
		if err := r.Drop(ctx, pod.ModelNamespace, pod.Model, pod.UID); err != nil {
			return err
		}
	}
	return nil
}

// await returns the record of a pod, and waits for it if it is not there yet.
// It returns nil if none has come in time.
func (r *Records) await(ctx context.Context, uid types.UID, timeout time.Duration) (*Pod, error) {
	there, leave := r.awaited.Wait(uid)
	defer leave()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for waited := false; ; waited = true {
		record := &Record{}
		err := r.storage.Get(ctx, key(uid), storage.GetOptions{IgnoreNotFound: true}, record)
		if err != nil {
			return nil, err
		}
		if record.Name != "" {
			return &record.Pod, nil
		}
		if waited {
			return nil, nil // written and dropped since
		}
		select {
		case <-there:
		case <-timer.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
