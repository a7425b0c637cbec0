// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/apiserver"
	"safebeam.dev/safebeam/pkg/apiserver/servertest"
	turns "safebeam.dev/safebeam/pkg/registry/tightbeam/turn"
)

func TestATurnBeginsQueuedInItsPlace(t *testing.T) {
	t.Parallel()
	_, api := start(t, servertest.Settings{})
	ctx := t.Context()
	c, err := api.Conversations(namespace).Get(ctx, "c", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for position := int64(1); position <= 3; position++ {
		created, err := api.Turns(namespace).Create(ctx, turn(fmt.Sprint("t", position), "c", "hi"), metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got := created.Status
		if got.Phase != tightbeamv1.TurnQueued || got.Position != position || got.Model != "echo" || got.ConversationUID != string(c.UID) {
			t.Errorf("turn %d begins as %+v", position, got)
		}
	}
}

func TestTurnsThatCannotRunAreRefusedByField(t *testing.T) {
	t.Parallel()
	_, api := start(t, servertest.Settings{})
	ctx := t.Context()
	if _, err := api.Conversations(namespace).Create(ctx, func() *tightbeamv1.Conversation {
		c := conversation("modelless")
		c.Spec.Model = "missing"
		return c
	}(), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		turn        *tightbeamv1.Turn
		field, says string
	}{
		"no conversation":         {turn("a", "", "hi"), "spec.conversation", "Required"},
		"unknown conversation":    {turn("a", "nobody", "hi"), "spec.conversation", `Not found: "nobody": there is no such Conversation in this namespace: make it first`},
		"conversation's model":    {turn("a", "modelless", "hi"), "spec.conversation", `no TightbeamModel "missing"`},
		"unknown model":           {func() *tightbeamv1.Turn { t := turn("a", "c", "hi"); t.Spec.Model = "nope"; return t }(), "spec.model", `Not found: "nope": there is no such TightbeamModel in this namespace: make it first`},
		"no path segment":         {turn("a", "c/../x", "hi"), "spec.conversation", ""},
		"no messages":             {func() *tightbeamv1.Turn { t := turn("a", "c", "hi"); t.Spec.Messages = nil; return t }(), "spec.messages", "at least one"},
		"result without its call": {toolResult("a"), "spec.messages[0].toolCallID", "no tool call of this id"},
		"image of another type":   {image("a", "image/tiff"), "spec.messages[0].content[0].image.mediaType", "image/png"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := api.Turns(namespace).Create(ctx, test.turn, metav1.CreateOptions{})
			if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("got %v, want a 422 that says %q", err, test.says)
			}
			for _, cause := range err.(*apierrors.StatusError).ErrStatus.Details.Causes {
				if cause.Field == test.field {
					return
				}
			}
			t.Errorf("no cause is about %s: %v", test.field, err)
		})
	}
}

func toolResult(name string) *tightbeamv1.Turn {
	t := turn(name, "c", "42")
	t.Spec.Messages[0].Role, t.Spec.Messages[0].ToolCallID = tightbeamv1.RoleTool, "call-1"
	return t
}

func image(name, mediaType string) *tightbeamv1.Turn {
	t := turn(name, "c", "")
	t.Spec.Messages[0].Content = []tightbeamv1.ContentBlock{{Image: &tightbeamv1.ImageBlock{MediaType: mediaType, Data: []byte("x")}}}
	return t
}

func TestATurnOnADeletedConversationIsRefused(t *testing.T) {
	t.Parallel()
	_, api := start(t, servertest.Settings{})
	ctx := t.Context()
	// A finalizer of somebody else keeps the conversation in its last state.
	if _, err := api.Conversations(namespace).Patch(ctx, "c", types.JSONPatchType, []byte(`[{"op":"add","path":"/metadata/finalizers/-","value":"example.com/wait"}]`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := api.Conversations(namespace).Delete(ctx, "c", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := api.Turns(namespace).Create(ctx, turn("late", "c", "hi"), metav1.CreateOptions{})
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.conversation") || !strings.Contains(err.Error(), "being deleted") {
		t.Errorf("got %v", err)
	}
}

func TestTheNameOfATurnIsItsIdempotencyKey(t *testing.T) {
	t.Parallel()
	s, api := start(t, servertest.Settings{})
	ctx := t.Context()
	asked := turn("once", "c", "hi")
	asked.Spec.Tools = []tightbeamv1.Tool{{Name: "add", Parameters: &runtime.RawExtension{Raw: []byte(`{"type":"object","properties":{"a":{"type":"number"}}}`)}}}
	first, err := api.Turns(namespace).Create(ctx, asked, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	again := asked.DeepCopy()
	again.Spec.Tools[0].Parameters.Raw = []byte(`{ "properties": {"a": {"type": "number"}}, "type": "object" }`)
	again.Spec.DeadlineSeconds = ptr.To[int32](600) // the default, said
	for name, test := range map[string]struct {
		turn *tightbeamv1.Turn
		want metav1.CauseType
	}{
		"the same, spelt otherwise": {again, turns.CauseSameContent},
		"another text":              {turn("once", "c", "ho"), turns.CauseOtherContent},
	} {
		_, err := api.Turns(namespace).Create(ctx, test.turn, metav1.CreateOptions{})
		if !apierrors.IsAlreadyExists(err) || !apierrors.HasStatusCause(err, test.want) {
			t.Errorf("%s: got %v, want a 409 with cause %s", name, err, test.want)
			continue
		}
		if uid := err.(*apierrors.StatusError).ErrStatus.Details.UID; uid != first.UID {
			t.Errorf("%s: the 409 is about UID %q, want %q", name, uid, first.UID)
		}
	}
	// Neither burned a position.
	second, err := api.Turns(namespace).Create(ctx, turn("second", "c", "hi"), metav1.CreateOptions{})
	if err != nil || second.Status.Position != 2 {
		t.Errorf("the next turn has position %d, %v; want 2", second.Status.Position, err)
	}
	// An apply that makes a turn goes the same way.
	client := dynamic.NewForConfigOrDie(s.Client).Resource(tightbeamv1.SchemeGroupVersion.WithResource("turns")).Namespace(namespace)
	applied, err := client.Apply(ctx, "third", object(t, "turns", "third"), metav1.ApplyOptions{FieldManager: "test"})
	if err != nil || status(applied)["position"] != int64(3) {
		t.Errorf("an applied turn has position %v, %v; want 3", status(applied)["position"], err)
	}
}

func TestADryRunTellsWhatWouldBeAndBurnsNothing(t *testing.T) {
	t.Parallel()
	_, api := start(t, servertest.Settings{})
	ctx := t.Context()
	try := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	if _, err := api.Turns(namespace).Create(ctx, turn("a", "c", "hi"), try); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Conversations(namespace).Patch(ctx, "c", types.MergePatchType, []byte(`{"spec":{"concurrencyPolicy":"Reject"}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	first, err := api.Turns(namespace).Create(ctx, turn("a", "c", "hi"), metav1.CreateOptions{})
	if err != nil || first.Status.Position != 1 {
		t.Fatalf("position %d, %v; want 1", first.Status.Position, err)
	}
	for name, options := range map[string]metav1.CreateOptions{"meant": {}, "dry run": try} {
		if _, err := api.Turns(namespace).Create(ctx, turn("b", "c", "hi"), options); !apierrors.IsConflict(err) || !strings.Contains(err.Error(), "Reject") {
			t.Errorf("%s, a second turn under Reject: %v, want a conflict", name, err)
		}
	}
}

func TestAFullQueueIsA429(t *testing.T) {
	t.Parallel()
	_, api := start(t, servertest.Settings{})
	ctx := t.Context()
	if _, err := api.Conversations(namespace).Patch(ctx, "c", types.MergePatchType, []byte(`{"spec":{"maxQueuedTurns":1}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"runs", "waits"} {
		if _, err := api.Turns(namespace).Create(ctx, turn(name, "c", "hi"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := api.Turns(namespace).Create(ctx, turn("too-many", "c", "hi"), metav1.CreateOptions{})
	seconds, suggested := apierrors.SuggestsClientDelay(err)
	if !apierrors.IsTooManyRequests(err) || !suggested || seconds == 0 || !strings.Contains(err.Error(), "maxQueuedTurns") {
		t.Errorf("got %v, Retry-After %d; want a 429 that names spec.maxQueuedTurns", err, seconds)
	}
}

func TestTheSpecOfATurnCannotChange(t *testing.T) {
	t.Parallel()
	_, api := start(t, servertest.Settings{})
	ctx := t.Context()
	if _, err := api.Turns(namespace).Create(ctx, turn("t", "c", "hi"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Turns(namespace).Patch(ctx, "t", types.MergePatchType, []byte(`{"spec":{"maxTokens":7}}`), metav1.PatchOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec") {
		t.Errorf("got %v, want a 422", err)
	}
	blind := turn("t", "c", "hi") // without a resourceVersion
	if _, err := api.Turns(namespace).Update(ctx, blind, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("an update without a version: %v, want a 422", err)
	}
}

func TestCancellingIsIdempotent(t *testing.T) {
	t.Parallel()
	s, api := start(t, servertest.Settings{})
	if _, err := api.Turns(namespace).Create(t.Context(), turn("t", "c", "hi"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var first string
	for range 2 {
		response := send(t, s, http.MethodPost, group+"turns/t/cancel", "")
		var cancelled tightbeamv1.Turn
		if err := json.NewDecoder(response.Body).Decode(&cancelled); err != nil || response.StatusCode != http.StatusOK {
			t.Fatal(response.Status, err)
		}
		if cancelled.Status.Phase != tightbeamv1.TurnCancelled || cancelled.Kind != "Turn" {
			t.Errorf("got a %s in phase %s", cancelled.Kind, cancelled.Status.Phase)
		}
		if first == "" {
			first = cancelled.ResourceVersion
		} else if first != cancelled.ResourceVersion {
			t.Error("the second cancel wrote again")
		}
	}
	for path, want := range map[string]int{"turns/t/cancel?dryRun=All": http.StatusBadRequest, "turns/none/cancel": http.StatusNotFound} {
		if response := send(t, s, http.MethodPost, group+path, ""); response.StatusCode != want {
			t.Errorf("%s: %s, want %d", path, response.Status, want)
		}
	}
	if response := send(t, s, http.MethodPost, group+"turns/t/cancel", `{"why":"because"}`); response.StatusCode != http.StatusBadRequest {
		t.Errorf("a body that would be ignored: %s, want 400", response.Status)
	}
}

func TestTooLargeABodyIsA413ThatNamesTheLimit(t *testing.T) {
	t.Parallel()
	s, api := start(t, servertest.Settings{})
	fits := turn("fits", "c", strings.Repeat("x", 1<<20))
	if _, err := api.Turns(namespace).Create(t.Context(), fits, metav1.CreateOptions{}); err != nil {
		t.Errorf("1 MiB: %v", err)
	}
	// Beyond etcd's limit, within that of requests, which is what our engine
	// takes.
	large := conversation("large")
	large.Spec.System = strings.Repeat("x", 1<<20)
	for _, name := range []string{"one", "two", "three"} {
		large.Spec.Tools = append(large.Spec.Tools, tightbeamv1.Tool{Name: name, Parameters: &runtime.RawExtension{
			Raw: []byte(`{"type":"object","description":"` + strings.Repeat("x", 200<<10) + `"}`),
		}})
	}
	if _, err := api.Conversations(namespace).Create(t.Context(), large, metav1.CreateOptions{}); err != nil {
		t.Errorf("as large as a request: %v", err)
	}
	patch, err := json.Marshal(map[string]any{"spec": large.Spec})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := api.Conversations(namespace).Patch(t.Context(), "c", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Errorf("as large as a request, patched: %v", err)
	}
	body := `{"apiVersion":"tightbeam.dev/v1","kind":"Turn","metadata":{"name":"big"},"spec":{"conversation":"c","messages":[{"role":"user","content":[{"text":"` +
		strings.Repeat("x", apiserver.MaxRequestBodyBytes) + `"}]}]}}`
	response := send(t, s, http.MethodPost, group+"turns", body, "Content-Type", "application/json")
	if text := read(t, response); response.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(text, fmt.Sprint(apiserver.MaxRequestBodyBytes)) {
		t.Errorf("got %s: %s", response.Status, text)
	}
}

func TestForks(t *testing.T) {
	t.Parallel()
	s, api := start(t, servertest.Settings{})
	ctx := t.Context()
	if _, err := api.Turns(namespace).Create(ctx, turn("t", "c", "hi"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pull(t, s).finish("ho")
	if got := read(t, open(t, s, group+"turns/t/log?follow=true")); !strings.Contains(got, `"Completed"`) {
		t.Fatal(got)
	}
	fork := func(name, from string, after *int64) *tightbeamv1.Conversation {
		c := conversation(name)
		c.Spec.ForkFrom = &tightbeamv1.ForkFrom{Conversation: from, AfterIndex: after}
		return c
	}
	if _, err := api.Conversations(namespace).Create(ctx, fork("tried", "c", nil), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
		t.Error(err)
	}
	// follow: the log of a finished turn is there a moment after its last event.
	source := read(t, open(t, s, group+"conversations/c/log?follow=true&limit=2"))
	for name, test := range map[string]struct {
		after *int64
		want  string
	}{
		"whole": {nil, source},
		"part":  {ptr.To[int64](1), source[:strings.Index(source, "\n")+1]},
	} {
		made, err := api.Conversations(namespace).Create(ctx, fork(name, "c", test.after), metav1.CreateOptions{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := read(t, open(t, s, group+"conversations/"+name+"/log")); got != test.want || made.Status.Messages != int64(strings.Count(test.want, "\n")) {
			t.Errorf("%s: %d messages:\n%swant:\n%s", name, made.Status.Messages, got, test.want)
		}
	}
	for name, test := range map[string]struct {
		fork  *tightbeamv1.Conversation
		field string
	}{
		"unknown source":       {fork("x", "nobody", nil), "spec.forkFrom.conversation"},
		"past its end":         {fork("x", "c", ptr.To[int64](9)), "spec.forkFrom.afterIndex"},
		"before its beginning": {fork("x", "c", ptr.To[int64](0)), "spec.forkFrom.afterIndex"},
	} {
		if _, err := api.Conversations(namespace).Create(ctx, test.fork, metav1.CreateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), test.field) {
			t.Errorf("%s: %v, want a 422 about %s", name, err, test.field)
		}
	}
	if _, err := api.Conversations(namespace).Create(ctx, fork("whole", "c", nil), metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("a fork of a taken name: %v, want a 409", err)
	}
	if _, err := api.Conversations(namespace).Patch(ctx, "whole", types.MergePatchType, []byte(`{"spec":{"forkFrom":null}}`), metav1.PatchOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("forkFrom changed: %v, want a 422", err)
	}
	owners, err := s.Opened.ExtraConfig.Store.Journal().Owners(ctx, "conversations/", 100)
	if err != nil {
		t.Fatal(err)
	}
	list, err := api.Conversations(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, owner := range owners {
		known := false
		for _, c := range list.Items {
			known = known || strings.HasPrefix(string(owner), "conversations/"+string(c.UID))
		}
		if !known && strings.HasPrefix(string(owner), "conversations/") {
			t.Errorf("the journal keeps %s, which belongs to no conversation", owner)
		}
	}
}
