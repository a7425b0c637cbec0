// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/apiserver/servertest"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
)

// Who removes the finalizer says that the pod is gone, which the controller alone
// knows.
func TestTheFinalizerIsTheControllersToRemove(t *testing.T) {
	t.Parallel()
	s, admin := start(t, servertest.Settings{Authorizer: rules(
		"editor get sandboxes "+namespace+"/box", "editor update sandboxes "+namespace+"/box", "editor patch sandboxes "+namespace+"/box",
	)})
	create(t, admin, python("box"))
	api := versioned.NewForConfigOrDie(as(s, "editor")).LlmsafespaceV1()
	for name, patch := range map[string]string{
		"all":     `{"metadata":{"finalizers":null}}`,
		"ours":    `{"metadata":{"finalizers":["example.com/other"]}}`,
		"nothing": `{"metadata":{"finalizers":[]}}`,
	} {
		_, err := api.Sandboxes(namespace).Patch(t.Context(), "box", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "metadata.finalizers") || !strings.Contains(err.Error(), "sandboxes/status") {
			t.Errorf("removing %s: %v", name, err)
		}
	}
	// Others may come and go.
	for _, finalizers := range [][]string{{v1.SandboxFinalizer, "example.com/other"}, {v1.SandboxFinalizer}} {
		patch := `{"metadata":{"finalizers":["` + strings.Join(finalizers, `","`) + `"]}}`
		box, err := api.Sandboxes(namespace).Patch(t.Context(), "box", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		if err != nil || !slices.Equal(box.Finalizers, finalizers) {
			t.Errorf("%v: %v", finalizers, err)
		}
	}
	// A manifest that names none takes none away.
	box, err := api.Sandboxes(namespace).Get(t.Context(), "box", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	box.Finalizers = nil
	if box, err = api.Sandboxes(namespace).Update(t.Context(), box, metav1.UpdateOptions{}); err != nil || !slices.Equal(box.Finalizers, []string{v1.SandboxFinalizer}) {
		t.Errorf("%v, %v", box.Finalizers, err)
	}
}

func TestWhoWritesTheStatusMayRemoveTheFinalizer(t *testing.T) {
	t.Parallel()
	_, api := start(t, servertest.Settings{})
	create(t, api, python("box"))
	box, err := api.Sandboxes(namespace).Patch(t.Context(), "box", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	if err != nil || len(box.Finalizers) != 0 {
		t.Errorf("%v", err)
	}
}
