// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package clientset

import (
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"

	llmsafespace "safebeam.dev/safebeam/apis/llmsafespace/v1"
	tightbeam "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/generated/applyconfiguration"
	applyllmsafespace "safebeam.dev/safebeam/pkg/generated/applyconfiguration/llmsafespace/v1"
	applytightbeam "safebeam.dev/safebeam/pkg/generated/applyconfiguration/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned/fake"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned/scheme"
)

const (
	namespace = "default"
	agent     = "agent"
)

func TestConversationsAreCreatedAppliedAndListedThroughTheFake(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	conversations := fake.NewClientset().TightbeamV1().Conversations(namespace)

	created := &tightbeam.Conversation{
		ObjectMeta: metav1.ObjectMeta{Name: "created"},
		Spec:       tightbeam.ConversationSpec{Model: "claude"},
	}
	if _, err := conversations.Create(ctx, created, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	configuration := applytightbeam.Conversation("applied", namespace).
		WithSpec(applytightbeam.ConversationSpec().WithModel("claude").WithSystem("Answer briefly."))
	if _, err := conversations.Apply(ctx, configuration, metav1.ApplyOptions{FieldManager: agent}); err != nil {
		t.Fatal(err)
	}

	list, err := conversations.List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 2 {
		t.Fatalf("%d conversations, want the created and the applied one", len(list.Items))
	}
	for _, conversation := range list.Items {
		if conversation.Spec.Model != "claude" {
			t.Errorf("%s has the model %q, want claude", conversation.Name, conversation.Spec.Model)
		}
	}
}

func TestSandboxesAreCreatedAppliedAndListedThroughTheFake(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	sandboxes := fake.NewClientset().LlmsafespaceV1().Sandboxes(namespace)

	created := &llmsafespace.Sandbox{
		ObjectMeta: metav1.ObjectMeta{Name: "created"},
		Spec:       llmsafespace.SandboxSpec{Runtime: "python:3.11"},
	}
	if _, err := sandboxes.Create(ctx, created, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	configuration := applyllmsafespace.Sandbox("applied", namespace).
		WithSpec(applyllmsafespace.SandboxSpec().WithRuntime("python:3.11"))
	if _, err := sandboxes.Apply(ctx, configuration, metav1.ApplyOptions{FieldManager: agent}); err != nil {
		t.Fatal(err)
	}

	list, err := sandboxes.List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 2 {
		t.Fatalf("%d sandboxes, want the created and the applied one", len(list.Items))
	}
	for _, sandbox := range list.Items {
		if sandbox.Spec.Runtime != "python:3.11" {
			t.Errorf("%s has the runtime %q, want python:3.11", sandbox.Name, sandbox.Spec.Runtime)
		}
	}
}

// The fake knows who set which field: without the schema of a type it would take
// the whole object for one field, or for nobody's.
func TestAppliersConflictOverTheFieldsThatBothSetOnly(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	conversations := fake.NewClientset().TightbeamV1().Conversations(namespace)
	apply := func(manager string, spec *applytightbeam.ConversationSpecApplyConfiguration) (*tightbeam.Conversation, error) {
		return conversations.Apply(ctx, applytightbeam.Conversation("shared", namespace).WithSpec(spec),
			metav1.ApplyOptions{FieldManager: manager})
	}

	if _, err := apply(agent, applytightbeam.ConversationSpec().WithModel("claude")); err != nil {
		t.Fatal(err)
	}
	both, err := apply("operator", applytightbeam.ConversationSpec().WithSystem("Answer briefly."))
	if err != nil {
		t.Fatal("another field of the same conversation:", err)
	}
	if both.Spec.Model != "claude" || both.Spec.System != "Answer briefly." {
		t.Errorf("got %+v, want what both appliers set", both.Spec)
	}
	if _, err := apply("operator", applytightbeam.ConversationSpec().WithModel("gpt")); !apierrors.IsConflict(err) {
		t.Errorf("another's field: got %v, want a conflict", err)
	}

	mine, err := applytightbeam.ExtractConversation(both, agent)
	if err != nil {
		t.Fatal(err)
	}
	if mine.Spec == nil || mine.Spec.Model == nil || *mine.Spec.Model != "claude" || mine.Spec.System != nil {
		t.Errorf("extracted %+v, want the agent's own field", mine.Spec)
	}
}

// resources are what the typed clients ask for.
var resources = map[schema.GroupVersionKind]string{
	tightbeam.SchemeGroupVersion.WithKind("Conversation"):          "conversations",
	tightbeam.SchemeGroupVersion.WithKind("TightbeamChannel"):      "tightbeamchannels",
	tightbeam.SchemeGroupVersion.WithKind("TightbeamModel"):        "tightbeammodels",
	tightbeam.SchemeGroupVersion.WithKind("Turn"):                  "turns",
	llmsafespace.SchemeGroupVersion.WithKind("Execution"):          "executions",
	llmsafespace.SchemeGroupVersion.WithKind("RuntimeEnvironment"): "runtimeenvironments",
	llmsafespace.SchemeGroupVersion.WithKind("Sandbox"):            "sandboxes",
	llmsafespace.SchemeGroupVersion.WithKind("SandboxProfile"):     "sandboxprofiles",
	llmsafespace.SchemeGroupVersion.WithKind("WarmPod"):            "warmpods",
	llmsafespace.SchemeGroupVersion.WithKind("WarmPool"):           "warmpools",
}

func TestWhatAFakeIsGivenIsReadUnderItsResource(t *testing.T) {
	t.Parallel()
	constructors := map[string]func(...runtime.Object) *fake.Clientset{
		"NewClientset":       fake.NewClientset,
		"NewSimpleClientset": fake.NewSimpleClientset,
	}
	for name, construct := range constructors {
		for kind, object := range ourObjects(t) {
			object.SetNamespace(namespace)
			object.SetName("given")
			resource := kind.GroupVersion().WithResource(resources[kind])
			if _, err := construct(object).Tracker().Get(resource, namespace, "given"); err != nil {
				t.Errorf("%s, %s: %v", name, kind.Kind, err)
			}
		}
	}
}

func TestASandboxLivesItsWholeLifeInTheFake(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	client := fake.NewClientset()
	sandboxes := client.LlmsafespaceV1().Sandboxes(namespace)
	changes, err := sandboxes.Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer changes.Stop()

	sandbox, err := sandboxes.Create(ctx, &llmsafespace.Sandbox{
		ObjectMeta: metav1.ObjectMeta{Name: "box"},
		Spec:       llmsafespace.SandboxSpec{Runtime: "python:3.11"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sandbox.Status.Phase = llmsafespace.SandboxRunning
	if _, err := sandboxes.UpdateStatus(ctx, sandbox, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := sandboxes.Patch(ctx, "box", types.MergePatchType, []byte(`{"spec": {"timeout": 60}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if sandbox, err = sandboxes.Get(ctx, "box", metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	if sandbox.Status.Phase != llmsafespace.SandboxRunning || ptr.Deref(sandbox.Spec.Timeout, 0) != 60 {
		t.Errorf("it is %s with a timeout of %d s, want Running with 60", sandbox.Status.Phase, ptr.Deref(sandbox.Spec.Timeout, 0))
	}
	if err := sandboxes.Delete(ctx, "box", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []watch.EventType{watch.Added, watch.Modified, watch.Modified, watch.Deleted} {
		if change := <-changes.ResultChan(); change.Type != want {
			t.Fatalf("the watch sees %s, want %s", change.Type, want)
		}
	}
	for _, action := range client.Actions() {
		if action.GetResource().Resource != "sandboxes" {
			t.Errorf("%s of %s: reactors see the resource that was asked for", action.GetVerb(), action.GetResource().Resource)
		}
	}
}

func TestErrorsOfTheFakeNameTheResource(t *testing.T) {
	t.Parallel()
	_, err := fake.NewClientset().LlmsafespaceV1().Sandboxes(namespace).Get(t.Context(), "none", metav1.GetOptions{})
	if want := `sandboxes.llmsafespace.dev "none" not found`; !apierrors.IsNotFound(err) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestEveryKindHasItsSchemaInTheFake(t *testing.T) {
	t.Parallel()
	converter := applyconfiguration.NewTypeConverter(scheme.Scheme)
	for kind, object := range ourObjects(t) {
		if _, err := converter.ObjectToTyped(object); err != nil {
			t.Errorf("%s: %v", kind.Kind, err)
		}
	}
}

type object interface {
	runtime.Object
	metav1.Object
}

// ourObjects are empty ones of all kinds of both groups that have metadata of
// their own: no lists, no options.
func ourObjects(t *testing.T) map[schema.GroupVersionKind]object {
	t.Helper()
	objects := map[schema.GroupVersionKind]object{}
	for _, version := range []schema.GroupVersion{tightbeam.SchemeGroupVersion, llmsafespace.SchemeGroupVersion} {
		for name := range scheme.Scheme.KnownTypes(version) {
			kind := version.WithKind(name)
			made, err := scheme.Scheme.New(kind)
			if err != nil {
				t.Fatal(err)
			}
			if ours, isObject := made.(object); isObject {
				made.GetObjectKind().SetGroupVersionKind(kind)
				objects[kind] = ours
			}
		}
	}
	if len(objects) != len(resources) {
		t.Fatalf("%d kinds have metadata, and %d are known here", len(objects), len(resources))
	}
	return objects
}
