// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver_test

import (
	"context"
	"net/http"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/apiserver/servertest"
)

// The same names in two namespaces are different things: no selector, no path
// and no subresource leads from the one to the other.
func TestNothingLeadsIntoAnotherNamespace(t *testing.T) {
	t.Parallel()
	s, api := start(t, servertest.Settings{})
	ctx := t.Context()
	const theirs = "theirs"
	if _, err := api.TightbeamModels(theirs).Create(ctx, model("echo"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Conversations(theirs).Create(ctx, conversation("c"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	events, err := api.Turns(namespace).Watch(watching, metav1.ListOptions{FieldSelector: "spec.conversation=c"})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Stop()
	if _, err := api.Turns(theirs).Create(ctx, turn("hidden", "c", "secret"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Turns(namespace).Create(ctx, turn("own", "c", "hi"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// Theirs came first: it would be seen before ours.
	seenOurs := false
	for event := range events.ResultChan() {
		if seen, ok := event.Object.(*tightbeamv1.Turn); ok && event.Type == watch.Added {
			if seen.Namespace != namespace {
				t.Errorf("the watch shows %s/%s", seen.Namespace, seen.Name)
				continue
			}
			seenOurs = true
			break
		}
	}
	if !seenOurs {
		t.Error("the watch ended without ours")
	}
	for _, selector := range []string{"", "spec.conversation=c", "metadata.name=hidden", "metadata.namespace=" + theirs} {
		for _, version := range []string{"", "0"} {
			list, err := api.Turns(namespace).List(ctx, metav1.ListOptions{FieldSelector: selector, ResourceVersion: version})
			if err != nil {
				t.Errorf("%q: %v", selector, err)
				continue
			}
			for i := range list.Items {
				if list.Items[i].Namespace != namespace {
					t.Errorf("%q at %q lists %s/%s", selector, version, list.Items[i].Namespace, list.Items[i].Name)
				}
			}
		}
	}
	turns := "/apis/tightbeam.dev/v1/namespaces/" + namespace + "/turns/"
	for _, path := range []string{
		"hidden", "hidden/status", "hidden/log", "hidden/log?follow=true", "hidden/stream",
		"..%2f" + theirs + "%2fhidden", "..%2f..%2f" + theirs + "%2fturns%2fhidden/log", "../../" + theirs + "%2fturns/hidden/log", "%2e%2e/hidden", "hidden%00/log",
	} {
		response := open(t, s, turns+path)
		if body := read(t, response); response.StatusCode < http.StatusBadRequest {
			t.Errorf("%s: %d %s", path, response.StatusCode, body)
		}
	}
	response := send(t, s, http.MethodPost, turns+"hidden/cancel", "")
	if body := read(t, response); response.StatusCode != http.StatusNotFound {
		t.Errorf("cancel: %d %s", response.StatusCode, body)
	}
	if hidden, err := api.Turns(theirs).Get(ctx, "hidden", metav1.GetOptions{}); err != nil || hidden.Status.Phase.Terminal() {
		t.Errorf("theirs is %+v, %v", hidden, err)
	}
}

// A subresource is authorized as itself: who may read an object may not do what
// its subresources do, nor write what is the server's word.
func TestEverySubresourceTakesARightOfItsOwn(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 1)
	s, _ := start(t, servertest.Settings{Authorizer: authorizer.AuthorizerFunc(func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
		if a.GetUser().GetName() != "reader" || a.GetResource() == "users" {
			return authorizer.DecisionAllow, "", nil
		}
		select {
		case asked <- a.GetVerb() + " " + a.GetResource() + "/" + a.GetSubresource():
		default:
		}
		if a.GetSubresource() == "" && a.IsReadOnly() {
			return authorizer.DecisionAllow, "", nil
		}
		return authorizer.DecisionDeny, "", nil
	})})
	for _, c := range []struct{ method, path, want string }{
		{http.MethodGet, "tightbeam.dev/v1/namespaces/default/turns/x/log", "get turns/log"},
		{http.MethodGet, "tightbeam.dev/v1/namespaces/default/turns/x/stream", "get turns/stream"},
		{http.MethodPost, "tightbeam.dev/v1/namespaces/default/turns/x/cancel", "create turns/cancel"},
		{http.MethodPut, "tightbeam.dev/v1/namespaces/default/turns/x/status", "update turns/status"},
		{http.MethodPatch, "tightbeam.dev/v1/namespaces/default/conversations/c/status", "patch conversations/status"},
		{http.MethodGet, "tightbeam.dev/v1/namespaces/default/conversations/c/log", "get conversations/log"},
		{http.MethodPut, "tightbeam.dev/v1/namespaces/default/tightbeammodels/echo/status", "update tightbeammodels/status"},
		{http.MethodGet, "llmsafespace.dev/v1/namespaces/default/sandboxes/x/exec?command=id", "get sandboxes/exec"},
		{http.MethodPost, "llmsafespace.dev/v1/namespaces/default/sandboxes/x/exec?command=id", "create sandboxes/exec"},
		{http.MethodGet, "llmsafespace.dev/v1/namespaces/default/sandboxes/x/files/tmp/a", "get sandboxes/files"},
		{http.MethodHead, "llmsafespace.dev/v1/namespaces/default/sandboxes/x/files/tmp/a", "get sandboxes/files"},
		{http.MethodPut, "llmsafespace.dev/v1/namespaces/default/sandboxes/x/files/tmp/a", "update sandboxes/files"},
		{http.MethodDelete, "llmsafespace.dev/v1/namespaces/default/sandboxes/x/files/tmp/a", "delete sandboxes/files"},
		{http.MethodPut, "llmsafespace.dev/v1/namespaces/default/sandboxes/x/status", "update sandboxes/status"},
		{http.MethodPut, "llmsafespace.dev/v1/namespaces/default/sandboxes/x/pods/11111111-1111-1111-1111-111111111111", "update sandboxes/pods"},
		{http.MethodGet, "llmsafespace.dev/v1/namespaces/default/sandboxes/x/pods", "get sandboxes/pods"},
		{http.MethodDelete, "llmsafespace.dev/v1/namespaces/default/warmpods/x/pods/11111111-1111-1111-1111-111111111111", "delete warmpods/pods"},
		{http.MethodGet, "llmsafespace.dev/v1/namespaces/default/executions/x/log", "get executions/log"},
		{http.MethodPost, "llmsafespace.dev/v1/namespaces/default/executions/x/cancel", "create executions/cancel"},
		{http.MethodPut, "llmsafespace.dev/v1/namespaces/default/executions/x/status", "update executions/status"},
		{http.MethodPut, "llmsafespace.dev/v1/namespaces/default/warmpools/x/scale", "update warmpools/scale"},
		{http.MethodPatch, "llmsafespace.dev/v1/namespaces/default/warmpods/x/status", "patch warmpods/status"},
	} {
		response := send(t, s, c.method, "/apis/"+c.path, "{}", "Impersonate-User", "reader", "Content-Type", "application/json")
		read(t, response)
		select {
		case got := <-asked:
			if response.StatusCode != http.StatusForbidden || got != c.want {
				t.Errorf("%s %s: %d, asked for %q, want %q", c.method, c.path, response.StatusCode, got, c.want)
			}
		default:
			t.Errorf("%s %s: %d, and nobody was asked", c.method, c.path, response.StatusCode)
		}
	}
}
