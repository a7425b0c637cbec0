// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/apiserver/servertest"
	llmsafespaceclient "safebeam.dev/safebeam/pkg/generated/clientset/versioned/typed/llmsafespace/v1"
)

func TestAWatchInTheProcessOfWhatSandboxesChangeIsThatOfItsKind(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Settings{})
	clients := inside(t, s).LlmsafespaceV1()
	type watcher interface {
		Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error)
	}
	of := map[string]func(client llmsafespaceclient.LlmsafespaceV1Interface, namespace string) watcher{
		"sandboxes":  func(c llmsafespaceclient.LlmsafespaceV1Interface, n string) watcher { return c.Sandboxes(n) },
		"warmpools":  func(c llmsafespaceclient.LlmsafespaceV1Interface, n string) watcher { return c.WarmPools(n) },
		"warmpods":   func(c llmsafespaceclient.LlmsafespaceV1Interface, n string) watcher { return c.WarmPods(n) },
		"executions": func(c llmsafespaceclient.LlmsafespaceV1Interface, n string) watcher { return c.Executions(n) },
	}
	open := func(plural, namespace string, options metav1.ListOptions) watch.Interface {
		events, err := of[plural](clients, namespace).Watch(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(events.Stop)
		return events
	}
	create := func(file, namespace, plural, name string) {
		t.Helper()
		manifest, err := os.ReadFile(filepath.Join("../../artifacts/examples", file))
		if err != nil {
			t.Fatal(err)
		}
		if err := apply(t, s, manifest, namespace, plural, name).Error(); err != nil {
			t.Fatal(err)
		}
	}
	elsewhere := map[string]watch.Interface{}
	create("runtimeenvironment-python.yaml", "", "runtimeenvironments", "python")
	for _, c := range []struct {
		plural, namespace, name string
		create                  func()
		is                      func(obj any) bool
	}{
		{"warmpools", "warm-pools", "python-pool",
			func() { create("warmpool.yaml", "warm-pools", "warmpools", "python-pool") },
			func(obj any) bool { _, ok := obj.(*llmsafespacev1.WarmPool); return ok }},
		{"warmpods", "warm-pools", "python-pool-abc123",
			func() { create("warmpod.yaml", "warm-pools", "warmpods", "python-pool-abc123") },
			func(obj any) bool { _, ok := obj.(*llmsafespacev1.WarmPod); return ok }},
		{"sandboxes", "agent-sandboxes", "sandbox-12345",
			func() { create("sandbox.yaml", "agent-sandboxes", "sandboxes", "sandbox-12345") },
			func(obj any) bool { _, ok := obj.(*llmsafespacev1.Sandbox); return ok }},
		{"executions", "agent-sandboxes", "e", func() {
			if _, err := s.Clients().LlmsafespaceV1().Executions("agent-sandboxes").Create(t.Context(), &llmsafespacev1.Execution{
				ObjectMeta: metav1.ObjectMeta{Name: "e"},
				Spec:       llmsafespacev1.ExecutionSpec{Sandbox: "sandbox-12345", Command: []string{"true"}},
			}, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}, func(obj any) bool { _, ok := obj.(*llmsafespacev1.Execution); return ok }},
	} {
		all, here := open(c.plural, "", metav1.ListOptions{}), open(c.plural, c.namespace, metav1.ListOptions{})
		elsewhere[c.plural] = open(c.plural, "elsewhere", metav1.ListOptions{TimeoutSeconds: ptr.To[int64](1)})
		c.create()
		for _, w := range []watch.Interface{all, here} {
			event := next(t, w)
			object, err := meta.Accessor(event.Object)
			if err != nil || event.Type != watch.Added || !c.is(event.Object) || object.GetName() != c.name || object.GetNamespace() != c.namespace {
				t.Errorf("%s: %s %T %v %v", c.plural, event.Type, event.Object, object, err)
			}
		}
	}
	for plural, events := range elsewhere {
		for event := range events.ResultChan() {
			t.Errorf("%s: in another namespace: %+v", plural, event)
		}
	}
}
