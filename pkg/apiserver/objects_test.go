// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/apiserver/servertest"
	conversations "safebeam.dev/safebeam/pkg/registry/tightbeam/conversation"
)

// everyResource is one object of each resource, with a change of its spec if
// that can change, and a status.
var everyResource = map[string]struct {
	object, change, status string
}{
	"tightbeammodels": {
		`{"kind":"TightbeamModel","spec":{"provider":"echo","model":"echo"}}`,
		`{"spec":{"description":"says what it hears"}}`,
		`{"status":{"connectedJobs":7}}`,
	},
	"tightbeamchannels": {
		`{"kind":"TightbeamChannel","spec":{"type":"discord","secretName":"bot","targetModel":"echo"}}`,
		`{"spec":{"targetModel":"other"}}`,
		`{"status":{"jobRef":"job-7"}}`,
	},
	"conversations": {
		`{"kind":"Conversation","spec":{"model":"echo"}}`,
		`{"spec":{"title":"first steps"}}`,
		`{"status":{"phase":"Active"}}`,
	},
	"turns": {
		`{"kind":"Turn","spec":{"conversation":"c","messages":[{"role":"user","content":[{"text":"hi"}]}]}}`,
		``,
		`{"status":{"providerStopReason":"seven"}}`,
	},
}

func object(t *testing.T, resource, name string) *unstructured.Unstructured {
	t.Helper()
	obj := &unstructured.Unstructured{}
	if err := json.Unmarshal([]byte(everyResource[resource].object), &obj.Object); err != nil {
		t.Fatal(err)
	}
	obj.SetAPIVersion("tightbeam.dev/v1")
	obj.SetName(name)
	return obj
}

func TestEveryResourceKeepsTheRulesOfKubernetes(t *testing.T) {
	t.Parallel()
	s, _ := start(t, servertest.Settings{})
	all := dynamic.NewForConfigOrDie(s.Client)
	for resource, test := range everyResource {
		t.Run(resource, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			client := all.Resource(tightbeamv1.SchemeGroupVersion.WithResource(resource)).Namespace(namespace)

			// The status of a new object is the server's.
			object := object(t, resource, "kept")
			var forged map[string]any
			if err := json.Unmarshal([]byte(test.status), &forged); err != nil {
				t.Fatal(err)
			}
			object.Object["status"] = forged["status"]
			created, err := client.Create(ctx, object, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for field, value := range forged["status"].(map[string]any) {
				if jsonText(t, status(created)[field]) == jsonText(t, value) {
					t.Errorf("a new object has the client's status: %s is %v", field, value)
				}
			}
			if created.GetGeneration() != 1 {
				t.Errorf("a new object has generation %d, want 1", created.GetGeneration())
			}

			watcher, err := client.Watch(ctx, metav1.ListOptions{ResourceVersion: created.GetResourceVersion(), FieldSelector: "metadata.name=kept"})
			if err != nil {
				t.Fatal(err)
			}
			defer watcher.Stop()

			// A status written beside a spec is not written, and the other way.
			both := `{"metadata":{"labels":{"a":"b"}},` + strings.TrimPrefix(test.status, "{")
			labelled, err := client.Patch(ctx, "kept", types.MergePatchType, []byte(both), metav1.PatchOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for field, value := range forged["status"].(map[string]any) {
				if got := status(labelled)[field]; jsonText(t, got) == jsonText(t, value) {
					t.Errorf("a write of the object wrote its status: %s is %v", field, got)
				}
			}
			if labelled.GetGeneration() != 1 {
				t.Error("a label raised the generation")
			}
			inStatus := `{"metadata":{"labels":{"a":"c"}},"spec":{"model":"forged"},` + strings.TrimPrefix(test.status, "{")
			reported, err := client.Patch(ctx, "kept", types.MergePatchType, []byte(inStatus), metav1.PatchOptions{}, "status")
			if err != nil {
				t.Fatal(err)
			}
			for field, value := range forged["status"].(map[string]any) {
				if got := status(reported)[field]; jsonText(t, got) != jsonText(t, value) {
					t.Errorf("the status subresource did not write %s: %v", field, got)
				}
			}
			if reported.GetGeneration() != 1 || reported.GetLabels()["a"] != "b" || jsonText(t, reported.Object["spec"]) != jsonText(t, created.Object["spec"]) {
				t.Errorf("the status subresource wrote more than the status: generation %d, labels %v, spec %v", reported.GetGeneration(), reported.GetLabels(), reported.Object["spec"])
			}

			// A change of the spec raises the generation.
			if test.change != "" {
				changed, err := client.Patch(ctx, "kept", types.MergePatchType, []byte(test.change), metav1.PatchOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if changed.GetGeneration() != 2 {
					t.Errorf("a change of the spec made generation %d, want 2", changed.GetGeneration())
				}
			}
			if _, err := client.Patch(ctx, "kept", types.JSONPatchType, []byte(`[{"op":"add","path":"/metadata/annotations","value":{"x":"y"}}]`), metav1.PatchOptions{}); err != nil {
				t.Error(err)
			}

			// A stale write is refused.
			stale := created.DeepCopy()
			stale.SetLabels(map[string]string{"late": "yes"})
			if _, err := client.Update(ctx, stale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
				t.Errorf("a write of an old version: %v, want a conflict", err)
			}

			// Selectors find it.
			for _, options := range []metav1.ListOptions{{LabelSelector: "a=b"}, {FieldSelector: "metadata.name=kept"}} {
				list, err := client.List(ctx, options)
				if err != nil || len(list.Items) != 1 {
					t.Errorf("list %+v: %d items, %v", options, len(list.Items), err)
				}
			}
			if _, err := client.List(ctx, metav1.ListOptions{FieldSelector: "spec.nothing=x"}); !apierrors.IsBadRequest(err) {
				t.Errorf("an unknown field selector: %v, want a 400", err)
			}

			// A dry run leaves nothing behind.
			if _, err := client.Create(ctx, objectNamed(object, "tried"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
				t.Error(err)
			}
			if _, err := client.Get(ctx, "tried", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				t.Errorf("after a dry run: %v, want a 404", err)
			}

			if err := client.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "a=b"}); err != nil {
				t.Fatal(err)
			}
			seen := []watch.EventType{}
			for event := range watcher.ResultChan() {
				seen = append(seen, event.Type)
				if event.Type == watch.Deleted {
					break
				}
			}
			if slices.Contains(seen, watch.Added) || seen[len(seen)-1] != watch.Deleted {
				t.Errorf("the watch told %v", seen)
			}
		})
	}
}

func status(obj *unstructured.Unstructured) map[string]any {
	status, _, _ := unstructured.NestedMap(obj.Object, "status")
	return status
}

func objectNamed(obj *unstructured.Unstructured, name string) *unstructured.Unstructured {
	obj = obj.DeepCopy()
	obj.SetName(name)
	obj.SetResourceVersion("")
	return obj
}

func jsonText(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestServerSideApplyHasOwners(t *testing.T) {
	t.Parallel()
	s, _ := start(t, servertest.Settings{})
	all := dynamic.NewForConfigOrDie(s.Client)
	for resource, test := range everyResource {
		t.Run(resource, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			client := all.Resource(tightbeamv1.SchemeGroupVersion.WithResource(resource)).Namespace(namespace)
			wanted := object(t, resource, "applied")
			wanted.SetLabels(map[string]string{"owner": "one"})
			created, err := client.Apply(ctx, "applied", wanted, metav1.ApplyOptions{FieldManager: "one"})
			if err != nil {
				t.Fatal(err)
			}
			if created.GetGeneration() != 1 || created.GetUID() == "" {
				t.Errorf("created by apply: generation %d, UID %q", created.GetGeneration(), created.GetUID())
			}
			again, err := client.Apply(ctx, "applied", wanted, metav1.ApplyOptions{FieldManager: "one"})
			if err != nil || again.GetUID() != created.GetUID() {
				t.Errorf("applied again: UID %q, %v; want the same object", again.GetUID(), err)
			}
			other := wanted.DeepCopy()
			other.SetLabels(map[string]string{"owner": "two"})
			if _, err := client.Apply(ctx, "applied", other, metav1.ApplyOptions{FieldManager: "two"}); !apierrors.IsConflict(err) || !strings.Contains(err.Error(), "one") {
				t.Errorf("another's field: %v, want a conflict with its owner", err)
			}
			if _, err := client.Apply(ctx, "applied", other, metav1.ApplyOptions{FieldManager: "two", Force: true}); err != nil {
				t.Error(err)
			}
			// The status of an applied object is nobody's.
			forged := wanted.DeepCopy()
			forged.SetLabels(nil)
			var status map[string]any
			if err := json.Unmarshal([]byte(test.status), &status); err != nil {
				t.Fatal(err)
			}
			forged.Object["status"] = status["status"]
			applied, err := client.Apply(ctx, "applied", forged, metav1.ApplyOptions{FieldManager: "three"})
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range applied.GetManagedFields() {
				if entry.Manager == "three" && strings.Contains(entry.FieldsV1.GetRawString(), "f:status") {
					t.Errorf("an apply of the object owns the status: %s", entry.FieldsV1.GetRawString())
				}
			}
			// A UID that is not there means an object that is gone.
			gone := object(t, resource, "gone")
			gone.SetUID("0f0f0f0f-0000-4000-8000-000000000000")
			if _, err := client.Apply(ctx, "gone", gone, metav1.ApplyOptions{FieldManager: "one"}); !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
				t.Errorf("apply of an object that is gone: %v, want a conflict", err)
			}
			// A dry run of what does not exist makes nothing.
			if _, err := client.Apply(ctx, "tried", object(t, resource, "tried"), metav1.ApplyOptions{FieldManager: "one", DryRun: []string{metav1.DryRunAll}}); err != nil {
				t.Error(err)
			}
			if _, err := client.Get(ctx, "tried", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				t.Errorf("after a dry run of apply: %v, want a 404", err)
			}
		})
	}
}

func TestFieldSelectorsFindTurns(t *testing.T) {
	t.Parallel()
	_, api := start(t, servertest.Settings{})
	ctx := t.Context()
	if _, err := api.Conversations(namespace).Create(ctx, conversation("other"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, of := range map[string]string{"a": "c", "b": "c", "x": "other"} {
		if _, err := api.Turns(namespace).Create(ctx, turn(name, of, "hi"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for selector, want := range map[string]string{
		"spec.conversation=c":                      "a b",
		"spec.conversation=other":                  "x",
		"status.phase=Queued,spec.conversation!=c": "x",
		"status.phase!=Queued":                     "",
		"status.model=echo":                        "a b x",
	} {
		for _, version := range []string{"", "0"} {
			list, err := api.Turns(namespace).List(ctx, metav1.ListOptions{FieldSelector: selector, ResourceVersion: version})
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, turn := range list.Items {
				names = append(names, turn.Name)
			}
			slices.Sort(names)
			if got := strings.Join(names, " "); version == "" && got != want {
				t.Errorf("%s: got %q, want %q", selector, got, want)
			}
		}
	}
}

func TestKubectlGetsTables(t *testing.T) {
	t.Parallel()
	s, api := start(t, servertest.Settings{})
	if _, err := api.Turns(namespace).Create(t.Context(), turn("t", "c", "hi"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for resource, want := range map[string]string{"tightbeammodels": "Provider", "conversations": "Model", "turns": "Conversation", "turns/t": "Phase"} {
		var table metav1.Table
		response := open(t, s, group+resource, "Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
		if err := json.NewDecoder(response.Body).Decode(&table); err != nil {
			t.Fatal(err)
		}
		var columns []string
		for _, column := range table.ColumnDefinitions {
			columns = append(columns, column.Name)
		}
		if !slices.Contains(columns, want) || len(table.Rows) != 1 {
			t.Errorf("%s: %d rows of %v, want 1 and a column %s", resource, len(table.Rows), columns, want)
		}
	}
}

func TestDeletedConversationsGoWithTheirTurns(t *testing.T) {
	t.Parallel()
	_, api := start(t, servertest.Settings{})
	ctx := t.Context()
	if _, err := api.Turns(namespace).Create(ctx, turn("t", "c", "hi"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c, err := api.Conversations(namespace).Get(ctx, "c", metav1.GetOptions{})
	if err != nil || !slices.Contains(c.Finalizers, conversations.Finalizer) {
		t.Fatalf("finalizers %v, %v", c.Finalizers, err)
	}
	watcher, err := api.Conversations(namespace).Watch(ctx, metav1.ListOptions{ResourceVersion: c.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Stop()
	if err := api.Conversations(namespace).Delete(ctx, "c", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for event := range watcher.ResultChan() {
		if event.Type == watch.Deleted {
			break
		}
	}
	turns, err := api.Turns(namespace).List(ctx, metav1.ListOptions{})
	if err != nil || len(turns.Items) != 0 {
		t.Errorf("%d turns, %v; want none after their conversation", len(turns.Items), err)
	}
}

func TestModelsOfTheLocalLauncherWarn(t *testing.T) {
	t.Parallel()
	s, _ := start(t, servertest.Settings{})
	response := send(t, s, "POST", group+"tightbeammodels", `{"apiVersion":"tightbeam.dev/v1","kind":"TightbeamModel","metadata":{"name":"m"},"spec":{"provider":"echo","model":"m","image":"example.com/x"}}`, "Content-Type", "application/json")
	read(t, response)
	if warning := response.Header.Get("Warning"); response.StatusCode != 201 || !strings.Contains(warning, "spec.image") {
		t.Errorf("got %s with warning %q", response.Status, warning)
	}
}
