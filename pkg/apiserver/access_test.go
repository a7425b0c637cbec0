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

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/apiserver/servertest"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	llmsafespaceclient "safebeam.dev/safebeam/pkg/generated/clientset/versioned/typed/llmsafespace/v1"
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

// A label on a turn is all that has its answer said on a channel.
func TestSpeakingOnAChannelTakesTheRightToReadIt(t *testing.T) {
	t.Parallel()
	s, _ := start(t, servertest.Settings{Authorizer: rules(
		"insider create turns:*", "insider patch turns:*", "insider use conversations:c", "insider use tightbeammodels:echo", "insider get tightbeamchannels:bot",
		"outsider create turns:*", "outsider patch turns:*", "outsider use conversations:c", "outsider use tightbeammodels:echo",
	)})
	ctx := t.Context()
	said := func(name string) *tightbeamv1.Turn {
		loud := turn(name, "c", "hi")
		loud.Labels = map[string]string{tightbeamv1.LabelChannel: "bot", tightbeamv1.LabelReply: tightbeamv1.ReplyPending}
		return loud
	}
	forbidden := func(what string, err error) {
		t.Helper()
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `needs the verb "get" on tightbeamchannels.tightbeam.dev "bot"`) {
			t.Errorf("%s: got %v, want a 403 about the channel", what, err)
		}
	}
	_, err := as(s, "outsider").Turns(namespace).Create(ctx, said("a"), metav1.CreateOptions{})
	forbidden("create", err)
	if _, err := as(s, "outsider").Turns(namespace).Create(ctx, turn("quiet", "c", "hi"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := as(s, "insider").Turns(namespace).Create(ctx, said("loud"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	outsider := as(s, "outsider").Turns(namespace)
	_, err = outsider.Patch(ctx, "quiet", types.MergePatchType, []byte(`{"metadata":{"labels":{"tightbeam.dev/channel":"bot","tightbeam.dev/reply":"pending"}}}`), metav1.PatchOptions{})
	forbidden("a label", err)
	_, err = outsider.Patch(ctx, "loud", types.MergePatchType, []byte(`{"metadata":{"annotations":{"tightbeam.dev/reply-address":"{\"channelId\":\"elsewhere\"}"}}}`), metav1.PatchOptions{})
	forbidden("another address", err)
	for what, patch := range map[string]string{"another label": `{"metadata":{"labels":{"a":"b"}}}`, "silence": `{"metadata":{"labels":{"tightbeam.dev/reply":null}}}`} {
		if _, err := outsider.Patch(ctx, "loud", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A model is no way around the verb use: its turns would run on what its maker
// may not use.
func TestFallingBackToAModelIsUsingIt(t *testing.T) {
	t.Parallel()
	s, api := start(t, servertest.Settings{Authorizer: rules(
		"owner create tightbeammodels:*", "owner patch tightbeammodels:*", "owner use tightbeammodels:cheap",
	)})
	ctx := t.Context()
	for _, name := range []string{"cheap", "dear"} {
		if _, err := api.TightbeamModels(namespace).Create(ctx, model(name), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	models := as(s, "owner").TightbeamModels(namespace)
	fallingBack := func(name string, to ...string) *tightbeamv1.TightbeamModel {
		m := model(name)
		for _, fallback := range to {
			m.Spec.Fallbacks = append(m.Spec.Fallbacks, tightbeamv1.ModelFallback{Name: fallback})
		}
		return m
	}
	forbidden := func(what string, err error) {
		t.Helper()
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `spec.fallbacks[1]: user "owner" needs the verb "use" on tightbeammodels.tightbeam.dev "dear"`) {
			t.Errorf("%s: got %v, want a 403 about the model", what, err)
		}
	}
	_, err := models.Create(ctx, fallingBack("mine", "cheap", "dear"), metav1.CreateOptions{})
	forbidden("create", err)
	if _, err := models.Create(ctx, fallingBack("mine", "cheap"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err = models.Patch(ctx, "mine", types.MergePatchType, []byte(`{"spec":{"fallbacks":[{"name":"cheap"},{"name":"dear"}]}}`), metav1.PatchOptions{})
	forbidden("change", err)
}

// Sandboxes take pods of every pool that is offered to their namespace, so that
// who may make pools in one namespace must not offer them to all others.
func TestOfferingAPoolTakesTheRightToMakePoolsThere(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, servertest.Settings{Authorizer: authorizer.AuthorizerFunc(func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
		user := a.GetUser()
		if slices.Contains(user.GetGroups(), "system:masters") ||
			user.GetName() == "tenant" && a.GetNamespace() == "own" || user.GetName() == "both" && (a.GetNamespace() == "own" || a.GetNamespace() == "other") {
			return authorizer.DecisionAllow, "", nil
		}
		return authorizer.DecisionNoOpinion, "", nil
	})})
	ctx := t.Context()
	lent := func(user string) llmsafespaceclient.LlmsafespaceV1Interface {
		config := rest.CopyConfig(s.Client)
		config.Impersonate.UserName = user
		return versioned.NewForConfigOrDie(config).LlmsafespaceV1()
	}
	pools := func(user string) llmsafespaceclient.WarmPoolInterface { return lent(user).WarmPools("own") }
	pool := func(name string, namespaces ...string) *llmsafespacev1.WarmPool {
		return &llmsafespacev1.WarmPool{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: llmsafespacev1.WarmPoolSpec{
			Runtime: "python:3.11", MinSize: 1, AllowedNamespaces: namespaces,
		}}
	}
	forbidden := func(what string, err error) {
		t.Helper()
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `spec.allowedNamespaces[1]: user "tenant" needs the verb "create" on warmpools.llmsafespace.dev in namespace "other"`) {
			t.Errorf("%s: got %v, want a 403 about the namespace", what, err)
		}
	}
	_, err := pools("tenant").Create(ctx, pool("trap", "own", "other"), metav1.CreateOptions{})
	forbidden("create", err)
	manifest := []byte(`{"apiVersion":"llmsafespace.dev/v1","kind":"WarmPool","metadata":{"name":"trap"},"spec":{"runtime":"python:3.11","minSize":1,"allowedNamespaces":["own","other"]}}`)
	_, err = pools("tenant").Patch(ctx, "trap", types.ApplyPatchType, manifest, metav1.PatchOptions{FieldManager: "test"})
	forbidden("an apply that makes it", err)
	if _, err := pools("tenant").Create(ctx, pool("mine", "own"), metav1.CreateOptions{}); err != nil {
		t.Errorf("offered to nobody else: %v", err)
	}
	_, err = pools("tenant").Patch(ctx, "mine", types.MergePatchType, []byte(`{"spec":{"allowedNamespaces":["own","other"]}}`), metav1.PatchOptions{})
	forbidden("change", err)

	if _, err := pools("both").Create(ctx, pool("shared", "own", "other"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// What its pods preload runs in the sandboxes of the other namespace.
	_, err = pools("tenant").Patch(ctx, "shared", types.MergePatchType, []byte(`{"spec":{"preloadScripts":[{"name":"trojan","content":"pass"}]}}`), metav1.PatchOptions{})
	forbidden("another preload script", err)
	if _, err := pools("tenant").Patch(ctx, "shared", types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`), metav1.PatchOptions{}); err != nil {
		t.Errorf("a label: %v", err)
	}
	// More of the same pods is no other offer.
	if err := lent("tenant").RESTClient().Patch(types.MergePatchType).Namespace("own").Resource("warmpools").
		Name("shared").SubResource("scale").Body([]byte(`{"spec":{"replicas":2}}`)).Do(ctx).Error(); err != nil {
		t.Errorf("its size: %v", err)
	}
}
