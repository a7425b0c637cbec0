// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetessandbox

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	coreinformers "k8s.io/client-go/informers/core/v1"
	networkinginformers "k8s.io/client-go/informers/networking/v1"
	"k8s.io/client-go/tools/cache"

	"safebeam.dev/safebeam/pkg/launcher"
)

const (
	// lookPeriod is how often pods are looked at that do not start, and
	// eventsAfter how long one may take before its events are read.
	lookPeriod  = 2 * time.Second
	eventsAfter = 5 * time.Second
)

// watch starts the informers and waits until they know all.
func (l *Launcher) watch(ctx context.Context) error {
	ours := func(options *metav1.ListOptions) { options.LabelSelector = LabelType + "=" + TypeSandbox }
	l.pods = coreinformers.NewFilteredPodInformer(l.options.Client, metav1.NamespaceAll, 0, cache.Indexers{}, ours)
	l.policies = networkinginformers.NewFilteredNetworkPolicyInformer(l.options.Client, metav1.NamespaceAll, 0, cache.Indexers{}, ours)
	if err := errors.Join(l.pods.SetTransform(strip), l.policies.SetTransform(strip)); err != nil {
		return err
	}
	pods, err := l.pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { l.seen(obj.(*corev1.Pod)) },
		UpdateFunc: func(_, obj any) { l.seen(obj.(*corev1.Pod)) },
		DeleteFunc: func(obj any) { l.left(obj) },
	})
	if err != nil {
		return err
	}
	if _, err := l.policies.AddEventHandler(cache.ResourceEventHandlerFuncs{DeleteFunc: l.policyLeft}); err != nil {
		return err
	}
	l.informers.Go(func() { l.pods.RunWithContext(ctx) })
	l.informers.Go(func() { l.policies.RunWithContext(ctx) })
	if !cache.WaitForCacheSync(ctx.Done(), pods.HasSynced, l.policies.HasSynced) {
		return errors.New("the watch of sandbox pods did not begin in time")
	}
	return nil
}

// strip drops what nobody here reads.
func strip(obj any) (any, error) {
	if accessor, ok := obj.(metav1.ObjectMetaAccessor); ok {
		accessor.GetObjectMeta().SetManagedFields(nil)
	}
	return obj, nil
}

func (l *Launcher) seen(pod *corev1.Pod) {
	if _, ours := ownerOf(pod); !ours {
		return
	}
	l.mu.Lock()
	delete(l.fresh, cache.MetaObjectToName(pod))
	l.mu.Unlock()
	l.learn(pod)
	l.changed(l.observe(pod))
}

// left remembers how a pod went, for those who have not looked since.
func (l *Launcher) left(obj any) {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj
	}
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return
	}
	if _, ours := ownerOf(pod); !ours {
		return
	}
	last := l.observe(pod)
	name := cache.MetaObjectToName(pod)
	l.mu.Lock()
	_, deleted := l.deleting[pod.UID]
	delete(l.deleting, pod.UID)
	delete(l.stuck, pod.UID)
	delete(l.fresh, name)
	if last.Phase != launcher.PodEnded {
		// A gap of the watch hid its end.
		last.Reason, last.Message = takenAway(pod)
	}
	last.Phase, last.Since = launcher.PodGone, l.options.Clock.Now()
	if !deleted {
		l.gone[name] = last
	}
	l.mu.Unlock()
	l.changed(last)
}

// tidy forgets what nobody asks for any more.
func (l *Launcher) tidy() {
	there := map[types.UID]bool{}
	for _, obj := range l.pods.GetStore().List() {
		there[obj.(*corev1.Pod).UID] = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, pod := range l.gone {
		if l.options.Clock.Since(pod.Since) > remembered {
			delete(l.gone, name)
		}
	}
	for name, f := range l.fresh {
		if l.options.Clock.Since(f.at) > unseen {
			delete(l.fresh, name)
		}
	}
	for uid, at := range l.deleting {
		if !there[uid] && l.options.Clock.Since(at) > unseen {
			delete(l.deleting, uid)
		}
	}
}

// lookAfter reads the events of a pod that has a node and does not start: what
// its kubelet cannot do (mount, make the sandbox of the pod) is said there alone.
func (l *Launcher) lookAfter(ctx context.Context, pod *corev1.Pod) error {
	at := scheduledAt(pod)
	if pod.Status.Phase != corev1.PodPending || pod.DeletionTimestamp != nil || at.IsZero() || l.options.Clock.Since(at) < eventsAfter {
		return nil
	}
	if reason, _, _ := waiting(pod); reason != "" {
		return nil
	}
	events, err := l.options.Client.CoreV1().Events(pod.Namespace).List(ctx, metav1.ListOptions{
		FieldSelector: "involvedObject.uid=" + string(pod.UID) + ",type=" + corev1.EventTypeWarning, ResourceVersion: "0",
	})
	if err != nil {
		return err
	}
	var last *corev1.Event
	for i := range events.Items {
		if event := &events.Items[i]; last == nil || last.LastTimestamp.Before(&event.LastTimestamp) {
			last = event
		}
	}
	if last == nil {
		return nil
	}
	now := why{last.Reason, last.Message}
	l.mu.Lock()
	was := l.stuck[pod.UID]
	l.stuck[pod.UID] = now
	l.mu.Unlock()
	if was != now {
		l.changed(l.observe(pod))
	}
	return nil
}
