// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"errors"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	batchinformers "k8s.io/client-go/informers/batch/v1"
	coreinformers "k8s.io/client-go/informers/core/v1"
	networkinginformers "k8s.io/client-go/informers/networking/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// The indices of the informers.
const (
	indexModel = "model" // Jobs by NAMESPACE/NAME of their model
	indexName  = "name"  // Jobs by their name alone
	indexOwner = "owner" // pods by the UID of their Job
)

// watch starts the informers on Jobs, pods and NetworkPolicies and waits until they know all.
func (l *Launcher) watch(ctx context.Context) error {
	ours := func(options *metav1.ListOptions) { options.LabelSelector = LabelType + "=" + typeLLM }
	l.jobs = batchinformers.NewFilteredJobInformer(l.options.Client, metav1.NamespaceAll, 0, cache.Indexers{
		indexModel: func(obj any) ([]string, error) {
			what, err := launched(obj.(*batchv1.Job))
			if err != nil {
				return nil, nil // not one of ours; the handler says so
			}
			return []string{modelOf(what.Spec).String()}, nil
		},
		indexName: func(obj any) ([]string, error) { return []string{obj.(*batchv1.Job).Name}, nil },
	}, ours)
	l.pods = coreinformers.NewFilteredPodInformer(l.options.Client, metav1.NamespaceAll, 0, cache.Indexers{
		indexOwner: func(obj any) ([]string, error) {
			if owner := jobOwner(obj.(*corev1.Pod)); owner != nil {
				return []string{string(owner.UID)}, nil
			}
			return nil, nil
		},
	}, ours)
	l.policies = networkinginformers.NewFilteredNetworkPolicyInformer(l.options.Client, metav1.NamespaceAll, 0, cache.Indexers{}, ours)
	for _, informer := range []cache.SharedIndexInformer{l.jobs, l.pods, l.policies} {
		if err := informer.SetTransform(stripManagedFields); err != nil {
			return err
		}
	}
	logger := klog.FromContext(ctx)
	jobs, err := l.jobs.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { l.jobSeen(logger, obj.(*batchv1.Job)) },
		UpdateFunc: func(_, obj any) { l.jobSeen(logger, obj.(*batchv1.Job)) },
		DeleteFunc: func(obj any) { l.jobGone(logger, obj) },
	})
	if err != nil {
		return err
	}
	pods, err := l.pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) { l.podSeen(obj) },
		UpdateFunc: func(old, obj any) {
			l.observeStart(old.(*corev1.Pod), obj.(*corev1.Pod))
			l.podSeen(obj)
		},
		DeleteFunc: func(obj any) { l.podSeen(obj) },
	})
	if err != nil {
		return err
	}
	policies, err := l.policies.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    l.policySeen,
		UpdateFunc: func(_, obj any) { l.policySeen(obj) },
		DeleteFunc: l.policyLeft,
	})
	if err != nil {
		return err
	}
	l.informers.Go(func() { l.jobs.RunWithContext(ctx) })
	l.informers.Go(func() { l.pods.RunWithContext(ctx) })
	l.informers.Go(func() { l.policies.RunWithContext(ctx) })
	if !cache.WaitForCacheSync(ctx.Done(), jobs.HasSynced, pods.HasSynced, policies.HasSynced) {
		return errors.New("the watch of Jobs, pods and NetworkPolicies did not begin in time")
	}
	return nil
}

// stripManagedFields drops what nobody here reads.
func stripManagedFields(obj any) (any, error) {
	if accessor, err := meta.Accessor(obj); err == nil { // else a tombstone
		accessor.SetManagedFields(nil)
	}
	return obj, nil
}

func (l *Launcher) jobSeen(logger klog.Logger, job *batchv1.Job) {
	what, err := launched(job)
	if err != nil {
		logger.Error(err, "A Job has our labels and is not one of ours", "job", klog.KObj(job))
		return
	}
	l.mu.Lock()
	delete(l.fresh, job.Name)
	l.mu.Unlock()
	l.changed(modelOf(what.Spec))
}

func (l *Launcher) jobGone(logger klog.Logger, obj any) {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj
	}
	job, ok := obj.(*batchv1.Job)
	if !ok {
		return
	}
	l.mu.Lock()
	delete(l.forgotten, job.UID)
	l.mu.Unlock()
	l.jobSeen(logger, job)
}

// podSeen looks at a pod's record and has its model looked at.
func (l *Launcher) podSeen(obj any) {
	name, err := cache.DeletionHandlingObjectToName(obj)
	if err != nil {
		return
	}
	l.records.Enqueue(name)
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj
	}
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return
	}
	if job := l.jobOf(pod); job != nil {
		if what, err := launched(job); err == nil {
			l.changed(modelOf(what.Spec))
		}
	} else if model := pod.Labels[LabelModel]; model != "" {
		l.changed(cache.ObjectName{Namespace: pod.Namespace, Name: model}) // its policy may leave with it
	}
}

// jobOwner is the Job that controls a pod, if one does.
func jobOwner(pod *corev1.Pod) *metav1.OwnerReference {
	if owner := metav1.GetControllerOf(pod); owner != nil && owner.Kind == "Job" && owner.APIVersion == batchv1.SchemeGroupVersion.String() {
		return owner
	}
	return nil
}

// jobOf is the Job of a pod, nil if there is none that we know.
func (l *Launcher) jobOf(pod *corev1.Pod) *batchv1.Job {
	owner := jobOwner(pod)
	if owner == nil {
		return nil
	}
	obj, exists, err := l.jobs.GetStore().GetByKey(pod.Namespace + "/" + owner.Name)
	if err != nil || !exists || obj.(*batchv1.Job).UID != owner.UID {
		return nil
	}
	return obj.(*batchv1.Job)
}
