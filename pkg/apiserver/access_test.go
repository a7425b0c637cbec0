// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/rest"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/apiserver/servertest"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	client "safebeam.dev/safebeam/pkg/generated/clientset/versioned/typed/tightbeam/v1"
)

// rules allow everything to the admin and the server itself, and to others
// what is listed, as "user verb resource/name".
func rules(allowed ...string) authorizer.Authorizer {
	return authorizer.AuthorizerFunc(func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
		resource := a.GetResource()
		if a.GetSubresource() != "" {
			resource += "/" + a.GetSubresource()
		}
		for _, name := range []string{a.GetName(), "*"} {
			if slices.Contains(allowed, fmt.Sprintf("%s %s %s:%s", a.GetUser().GetName(), a.GetVerb(), resource, name)) {
				return authorizer.DecisionAllow, "", nil
			}
		}
		if slices.Contains(a.GetUser().GetGroups(), "system:masters") {
			return authorizer.DecisionAllow, "", nil
		}
		return authorizer.DecisionNoOpinion, "", nil
	})
}

// as is a client that the admin lends another name.
func as(s *servertest.Server, user string) client.TightbeamV1Interface {
	config := rest.CopyConfig(s.Client)
	config.Impersonate.UserName = user
	return versioned.NewForConfigOrDie(config).TightbeamV1()
}

func TestWhoSpeaksNeedsToUseConversationAndModel(t *testing.T) {
	t.Parallel()
	s, api := start(t, servertest.Settings{Authorizer: rules(
		"both create turns:*", "both use conversations:c", "both use tightbeammodels:echo",
		"noconv create turns:*", "noconv use tightbeammodels:echo",
		"nomodel create turns:*", "nomodel use conversations:c",
		"applier patch turns:*", "applier create turns:*", "applier use tightbeammodels:echo",
	)})
	ctx := t.Context()
	if _, err := api.TightbeamModels(namespace).Create(ctx, model("dear"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	dear := turn("dear", "c", "hi")
	dear.Spec.Model = "dear"
	for name, test := range map[string]struct {
		user    string
		turn    *tightbeamv1.Turn
		missing string
	}{
		"both":                       {"both", turn("a", "c", "hi"), ""},
		"another model":              {"both", dear, `"use" on tightbeammodels.tightbeam.dev "dear"`},
		"another conversation":       {"both", turn("b", "other", "hi"), `"use" on conversations.tightbeam.dev "other"`},
		"no use of the conversation": {"noconv", turn("b", "c", "hi"), `spec.conversation: user "noconv" needs the verb "use"`},
		"no use of the model":        {"nomodel", turn("b", "c", "hi"), `spec.model: user "nomodel" needs the verb "use"`},
	} {
		_, err := as(s, test.user).Turns(namespace).Create(ctx, test.turn, metav1.CreateOptions{})
		if test.missing == "" && err != nil || test.missing != "" && (!apierrors.IsForbidden(err) || !strings.Contains(err.Error(), test.missing)) {
			t.Errorf("%s: got %v, want %q", name, err, test.missing)
		}
	}
	// Server-side apply asks the same.
	apply := []byte(`{"apiVersion":"tightbeam.dev/v1","kind":"Turn","metadata":{"name":"applied"},"spec":{"conversation":"c","messages":[{"role":"user","content":[{"text":"hi"}]}]}}`)
	if _, err := as(s, "applier").Turns(namespace).Patch(ctx, "applied", types.ApplyPatchType, apply, metav1.PatchOptions{FieldManager: "test"}); !apierrors.IsForbidden(err) {
		t.Errorf("an apply that makes a turn: %v, want a 403", err)
	}
}

func TestForkingIsReading(t *testing.T) {
	t.Parallel()
	s, _ := start(t, servertest.Settings{Authorizer: rules(
		"reader create conversations:*", "reader use conversations:c",
		"stranger create conversations:*",
	)})
	fork := conversation("fork")
	fork.Spec.ForkFrom = &tightbeamv1.ForkFrom{Conversation: "c"}
	if _, err := as(s, "stranger").Conversations(namespace).Create(t.Context(), fork, metav1.CreateOptions{}); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "spec.forkFrom.conversation") {
		t.Errorf("got %v, want a 403", err)
	}
	if _, err := as(s, "reader").Conversations(namespace).Create(t.Context(), fork, metav1.CreateOptions{}); err != nil {
		t.Error(err)
	}
}

func TestNamingASecretIsUsingIt(t *testing.T) {
	t.Parallel()
	s, api := start(t, servertest.Settings{Authorizer: rules(
		"holder create tightbeammodels:*", "holder patch tightbeammodels:*", "holder create tightbeamchannels:*", "holder get secrets:key",
		"other create tightbeammodels:*", "other patch tightbeammodels:*", "other create tightbeamchannels:*",
	)})
	ctx := t.Context()
	keyed := model("keyed")
	keyed.Spec.Provider, keyed.Spec.SecretName = tightbeamv1.ProviderAnthropic, "key"
	bot := &tightbeamv1.TightbeamChannel{ObjectMeta: metav1.ObjectMeta{Name: "bot"}, Spec: tightbeamv1.TightbeamChannelSpec{Type: tightbeamv1.ChannelTypeDiscord, SecretName: "key", TargetModel: "echo"}}
	forbidden := func(what string, err error) {
		t.Helper()
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `spec.secretName: user "other" needs the verb "get" on secrets "key"`) {
			t.Errorf("%s: got %v, want a 403 about the Secret", what, err)
		}
	}
	_, err := as(s, "other").TightbeamModels(namespace).Create(ctx, keyed, metav1.CreateOptions{})
	forbidden("create", err)
	_, err = as(s, "other").TightbeamChannels(namespace).Create(ctx, bot, metav1.CreateOptions{})
	forbidden("create a channel", err)
	if _, err := as(s, "holder").TightbeamChannels(namespace).Create(ctx, bot, metav1.CreateOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := as(s, "holder").TightbeamModels(namespace).Create(ctx, keyed, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// The same Secret sent elsewhere is another use of it.
	elsewhere := []byte(`{"spec":{"baseURL":"https://evil.example.com"}}`)
	_, err = as(s, "other").TightbeamModels(namespace).Patch(ctx, "keyed", types.MergePatchType, elsewhere, metav1.PatchOptions{})
	forbidden("sent elsewhere", err)
	if _, err := as(s, "other").TightbeamModels(namespace).Patch(ctx, "keyed", types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`), metav1.PatchOptions{}); err != nil {
		t.Errorf("a label needs no Secret: %v", err)
	}
	if _, err := as(s, "holder").TightbeamModels(namespace).Patch(ctx, "keyed", types.MergePatchType, elsewhere, metav1.PatchOptions{}); err != nil {
		t.Error(err)
	}
	_, err = as(s, "other").TightbeamModels(namespace).Patch(ctx, "echo", types.MergePatchType, []byte(`{"spec":{"provider":"openai","secretName":"key"}}`), metav1.PatchOptions{})
	forbidden("put into a model that had none", err)
	_ = api
}
