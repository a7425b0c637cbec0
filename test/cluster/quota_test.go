// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
)

// objects are how many of each resource there are, or may be.
type objects map[string]int64

func (o objects) list() corev1.ResourceList {
	list := corev1.ResourceList{}
	for name, n := range o {
		list[corev1.ResourceName("count/"+name)] = *resource.NewQuantity(n, resource.DecimalSI)
	}
	return list
}

// isCounted says what of o a quota's usage does not show yet.
func (o objects) isCounted(quota *corev1.ResourceQuota) error {
	for name, want := range o.list() {
		if used, known := quota.Status.Used[name]; !known || used.Cmp(want) != 0 {
			return fmt.Errorf("want %s of %s to be used, the status is %+v", want.String(), name, quota.Status)
		}
	}
	return nil
}

// quota makes a ResourceQuota and waits until it objects what there is.
//
// kube-controller-manager objects what its informers have, when a quota is made or
// changed, and every five minutes. They may be behind, so it is changed until they
// are not: in the limit of something else, whenever it has honoured the last one.
func quota(t *testing.T, namespace, name string, hard, used objects) {
	t.Helper()
	quotas := kube.CoreV1().ResourceQuotas(namespace)
	if _, err := quotas.Create(t.Context(), &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ResourceQuotaSpec{Hard: hard.list()},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	changes := int64(1000)
	eventually(t, 60*time.Second, func(ctx context.Context) error {
		var missing error
		err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
			quota, err := quotas.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			for resource, limit := range quota.Spec.Hard {
				if seen, known := quota.Status.Hard[resource]; !known || seen.Cmp(limit) != 0 {
					missing = fmt.Errorf("kube-controller-manager has not counted: %+v", quota.Status)
					return nil
				}
			}
			if missing = used.isCounted(quota); missing == nil {
				return nil
			}
			changes++
			quota.Spec.Hard["count/configmaps"] = *resource.NewQuantity(changes, resource.DecimalSI)
			_, err = quotas.Update(ctx, quota, metav1.UpdateOptions{})
			return err
		})
		if err != nil {
			return err
		}
		return missing
	})
}

const oneModelMore = "apiVersion: tightbeam.dev/v1\nkind: TightbeamModel\nmetadata: {name: more}\nspec: {provider: echo, model: echo}\n"

// Quota is enforced by the server that serves the objects, and counted by
// kube-controller-manager.
func TestQuotaCountsTurns(t *testing.T) {
	needCluster(t)
	t.Parallel()
	ns := namespace(t)
	const turns, models, conversations = "turns.tightbeam.dev", "tightbeammodels.tightbeam.dev", "conversations.tightbeam.dev"
	quota(t, ns, "turns", objects{turns: 2, models: 1, conversations: 1}, objects{turns: 0, models: 0, conversations: 0})
	quota(t, ns, "none", objects{"tightbeamchannels.tightbeam.dev": 0}, objects{"tightbeamchannels.tightbeam.dev": 0})
	// Our server watches quotas; made last, seen last.
	const channel = "apiVersion: tightbeam.dev/v1\nkind: TightbeamChannel\nmetadata: {name: c}\nspec: {type: discord, secretName: s, targetModel: echo}\n"
	eventually(t, 30*time.Second, func(ctx context.Context) error {
		out, err := tryKubectl(ctx, channel, "-n", ns, "create", "--dry-run=server", "-f", "-")
		if err == nil || !strings.Contains(out, "exceeded quota: none") {
			return fmt.Errorf("the server does not know the quota: %s", out)
		}
		return nil
	})

	echo(t, ns, `{delayMillis: 1000, deltas: 20}`)
	refused(t, "exceeded quota: turns", oneModelMore, "-n", ns, "create", "-f", "-")
	say(t, ns, "one")
	second := say(t, ns, "two")
	third := func(ctx context.Context) error {
		_, err := own.TightbeamV1().Turns(ns).Create(ctx, newTurn("c", "three"), metav1.CreateOptions{})
		return err
	}
	if err := third(t.Context()); err == nil || !strings.Contains(err.Error(), "exceeded quota: turns") {
		t.Errorf("the third turn: %v", err)
	}
	used := objects{turns: 2, models: 1, conversations: 1}
	if now, err := kube.CoreV1().ResourceQuotas(ns).Get(t.Context(), "turns", metav1.GetOptions{}); err != nil || used.isCounted(now) != nil {
		t.Errorf("%v, %v", used.isCounted(now), err)
	}
	// What is there before a quota is counted, and what goes makes room.
	quota(t, ns, "later", objects{turns: 10, models: 10, conversations: 10}, used)
	if err := own.TightbeamV1().Turns(ns).Delete(t.Context(), second.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 60*time.Second, third)
}
