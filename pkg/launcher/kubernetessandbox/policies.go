// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetessandbox

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/launcher"
)

// ensurePolicy has a policy be as it is wanted.
func (l *Launcher) ensurePolicy(ctx context.Context, wanted *networkingv1.NetworkPolicy) error {
	if obj, exists, err := l.policies.GetStore().GetByKey(wanted.Namespace + "/" + wanted.Name); err == nil && exists {
		if equality.Semantic.DeepEqual(obj.(*networkingv1.NetworkPolicy).Spec, wanted.Spec) {
			return nil
		}
	}
	policies := l.options.Client.NetworkingV1().NetworkPolicies(wanted.Namespace)
	_, err := policies.Create(ctx, wanted, metav1.CreateOptions{FieldManager: fieldManager})
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	found, err := policies.Get(ctx, wanted.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if equality.Semantic.DeepEqual(found.Spec, wanted.Spec) {
		return nil // the informer is behind
	}
	if found.Labels[LabelType] != TypeSandbox {
		return fmt.Errorf("there is a NetworkPolicy %q that is not ours: remove it", wanted.Name)
	}
	found.Spec = wanted.Spec
	_, err = policies.Update(ctx, found, metav1.UpdateOptions{FieldManager: fieldManager})
	return err
}

// Open has the pod's own policy be as access says.
func (l *Launcher) Open(ctx context.Context, pod launcher.Pod, from string, access *llmsafespacev1.NetworkAccess) error {
	name := cache.ObjectName{Namespace: pod.Namespace, Name: pod.Name}
	wanted := l.options.opening(pod.Namespace, pod.Name, pod.UID, from, access)
	l.mu.Lock()
	delete(l.lost, name)
	delete(l.closed, name)
	l.mu.Unlock()
	if wanted != nil {
		return l.ensurePolicy(ctx, wanted)
	}
	_, exists, err := l.policies.GetStore().GetByKey(name.String())
	if err != nil || !exists {
		return err
	}
	l.mu.Lock()
	l.closed[name] = true
	l.mu.Unlock()
	err = l.options.Client.NetworkingV1().NetworkPolicies(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{})
	if err == nil || apierrors.IsNotFound(err) {
		return nil
	}
	l.mu.Lock()
	delete(l.closed, name)
	l.mu.Unlock()
	return err
}

// policyLeft takes note of the policy of one pod that somebody else deleted.
func (l *Launcher) policyLeft(obj any) {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj
	}
	policy, ok := obj.(*networkingv1.NetworkPolicy)
	if !ok || policy.Labels[LabelPod] != policy.Name {
		return
	}
	name := cache.MetaObjectToName(policy)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed[name] {
		delete(l.closed, name)
		return
	}
	l.lost[name] = policy
}

// keepPolicies puts right what somebody did to our policies: those of namespaces
// with pods of ours are there and as they should be, and those of single pods that
// were deleted are made again, as they were, while the pod is there.
func (l *Launcher) keepPolicies(ctx context.Context) {
	pods := map[cache.ObjectName]*corev1.Pod{}
	namespaces := map[string]bool{}
	for _, obj := range l.pods.GetStore().List() {
		pod := obj.(*corev1.Pod)
		if _, ours := ownerOf(pod); ours {
			pods[cache.MetaObjectToName(pod)] = pod
			namespaces[pod.Namespace] = true
		}
	}
	failed := func(err error, namespace, name string) {
		// A namespace that is being deleted loses its policies before its pods.
		if ctx.Err() == nil && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			klog.FromContext(ctx).Error(err, "Cannot put a NetworkPolicy right, trying again", "networkPolicy", klog.KRef(namespace, name))
		}
	}
	for namespace := range namespaces {
		if err := l.ensurePolicy(ctx, l.options.closing(namespace, l.port)); err != nil {
			failed(err, namespace, PolicyName)
		}
	}
	l.mu.Lock()
	lost := maps.Clone(l.lost)
	l.mu.Unlock()
	for name, was := range lost {
		if pod := pods[name]; pod != nil && pod.DeletionTimestamp == nil && leavesWith(was, pod) {
			if err := l.remake(ctx, was); err != nil {
				failed(err, name.Namespace, name.Name)
				continue
			}
		}
		l.mu.Lock()
		if l.lost[name] == was {
			delete(l.lost, name)
		}
		l.mu.Unlock()
	}
}

func leavesWith(policy *networkingv1.NetworkPolicy, pod *corev1.Pod) bool {
	return slices.ContainsFunc(policy.OwnerReferences, func(r metav1.OwnerReference) bool { return r.UID == pod.UID })
}

// remake makes a policy again, unless there is one: that may be a newer one.
func (l *Launcher) remake(ctx context.Context, was *networkingv1.NetworkPolicy) error {
	_, err := l.options.Client.NetworkingV1().NetworkPolicies(was.Namespace).Create(ctx, &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: was.Name, Namespace: was.Namespace, Labels: was.Labels, OwnerReferences: was.OwnerReferences},
		Spec:       was.Spec,
	}, metav1.CreateOptions{FieldManager: fieldManager})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}
