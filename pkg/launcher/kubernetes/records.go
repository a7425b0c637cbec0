// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// jobWait is how soon a pod is looked at again whose Job the informer has not
// shown yet. The two are watched apart.
const jobWait = 20 * time.Millisecond

// youth is how long a pod may wait for its Job to be shown.
const youth = time.Minute

// syncRecord has the gateway know what one pod is there for.
func (l *Launcher) syncRecord(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	obj, exists, err := l.pods.GetStore().GetByKey(name.String())
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	was, bound := l.bound[name]
	l.mu.Unlock()
	var pod *corev1.Pod
	if exists {
		pod = obj.(*corev1.Pod)
	}
	if bound && (pod == nil || pod.UID != was.uid || finished(pod)) {
		if err := l.options.Records.Drop(ctx, was.model, was.uid); err != nil && !apierrors.IsNotFound(err) {
			return 0, err
		}
		l.mu.Lock()
		delete(l.bound, name)
		l.mu.Unlock()
		bound = false
	}
	if bound || pod == nil || finished(pod) {
		return 0, nil
	}
	job := l.jobOf(pod)
	if job == nil {
		if jobOwner(pod) != nil && l.options.Clock.Since(pod.CreationTimestamp.Time) < youth {
			return jobWait, nil
		}
		return 0, nil // no job of ours: it stays nobody
	}
	what, err := launched(job)
	if err != nil {
		return 0, nil // the Job's handler has said so
	}
	err = l.options.Records.Bind(ctx, what.Spec, job.Name, pod.UID)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		// The model is gone, or another one has its name: the pod goes too.
		klog.FromContext(ctx).V(2).Info("A pod stays nobody", "pod", klog.KObj(pod), "err", err)
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	l.bound[name] = boundPod{uid: pod.UID, model: modelOf(what.Spec)}
	l.mu.Unlock()
	return 0, nil
}

func finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// dropStaleRecords drops, once, the records of pods that went while no
// controller looked. Nobody could use them: their tokens went with them.
func (l *Launcher) dropStaleRecords(ctx context.Context) {
	logger := klog.FromContext(ctx)
	recorded, err := l.options.Records.List(ctx)
	if err != nil {
		logger.Error(err, "Records of pods that are gone stay until the next start")
		return
	}
	live := sets.New[types.UID]()
	for _, obj := range l.pods.GetStore().List() {
		live.Insert(obj.(*corev1.Pod).UID)
	}
	for model, pods := range recorded {
		for _, uid := range pods {
			if live.Has(uid) {
				continue
			}
			if err := l.options.Records.Drop(ctx, model, uid); err != nil && ctx.Err() == nil {
				logger.Error(err, "Could not drop the record of a pod that is gone", "pod", uid, "model", model)
			}
		}
	}
}
