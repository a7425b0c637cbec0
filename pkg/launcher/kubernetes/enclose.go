// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// Enclose puts right what somebody did to the NetworkPolicy of a model's jobs. It
// is that of the newest of them: an older one, which finishes its turns, shares it.
//
// The policy leaves with its model, whose uid is empty once it is on its way out.
// Its pods may take drainGrace longer, so from then on the policy is theirs.
func (l *Launcher) Enclose(ctx context.Context, model cache.ObjectName, uid types.UID) error {
	wanted := l.wantedPolicy(model, uid)
	if wanted == nil {
		return nil
	}
	if known, exists, err := l.policies.GetStore().GetByKey(wanted.Namespace + "/" + wanted.Name); err == nil && exists &&
		equality.Semantic.DeepEqual(known.(*networkingv1.NetworkPolicy).Spec, wanted.Spec) {
		return nil
	}
	err := l.ensurePolicy(ctx, wanted, model.Name)
	// A namespace that is being deleted loses its policies before its pods.
	if err == nil || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return nil
	}
	return fmt.Errorf("closing the running jobs of model %s in again: %w", model, err)
}

// wantedPolicy is what closes the running jobs of a model in; nil if none run.
func (l *Launcher) wantedPolicy(model cache.ObjectName, uid types.UID) *networkingv1.NetworkPolicy {
	var wanted *networkingv1.NetworkPolicy
	for _, job := range l.List(model) { // the last one counts
		if job.Exit != nil {
			continue
		}
		if wanted = l.options.Network.networkPolicy(job.Spec); job.Spec.ModelUID != uid {
			wanted.OwnerReferences = nil
		}
	}
	if wanted != nil && wanted.OwnerReferences != nil {
		return wanted
	}
	owners := l.podsOwn(model)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(owners) == 0 {
		delete(l.lost, model)
		return nil
	}
	if was := l.lost[model]; wanted == nil && was != nil {
		// Their Jobs are gone, too: the garbage collector was faster than we.
		wanted = &networkingv1.NetworkPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: was.Name, Namespace: was.Namespace, Labels: was.Labels},
			Spec:       was.Spec,
		}
	}
	if wanted != nil {
		wanted.OwnerReferences = owners
	}
	return wanted
}

// podsOwn is what a policy belongs to that leaves with the last pod of a model.
func (l *Launcher) podsOwn(model cache.ObjectName) (owners []metav1.OwnerReference) {
	for _, obj := range l.pods.GetStore().List() {
		pod := obj.(*corev1.Pod)
		if pod.Namespace == model.Namespace && pod.Labels[LabelModel] == labelValue(model.Name) && jobOwner(pod) != nil && !finished(pod) {
			owners = append(owners, metav1.OwnerReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID})
		}
	}
	return owners
}

// policySeen and policyLeft have the model looked at whose policy it is. Of one that
// left it is kept what it was until it is there again or no pod needs it.
func (l *Launcher) policySeen(obj any) {
	policy := obj.(*networkingv1.NetworkPolicy)
	if model, ours := modelOfPolicy(policy); ours {
		l.mu.Lock()
		delete(l.lost, model)
		l.mu.Unlock()
		l.changed(model)
	}
}

func (l *Launcher) policyLeft(obj any) {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj
	}
	policy, ok := obj.(*networkingv1.NetworkPolicy)
	if !ok {
		return
	}
	if model, ours := modelOfPolicy(policy); ours {
		l.mu.Lock()
		l.lost[model] = policy
		l.mu.Unlock()
		l.changed(model)
	}
}

func modelOfPolicy(policy *networkingv1.NetworkPolicy) (cache.ObjectName, bool) {
	model, ours := strings.CutPrefix(policy.Name, policyPrefix)
	return cache.ObjectName{Namespace: policy.Namespace, Name: model}, ours
}
