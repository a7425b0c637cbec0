// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/apiserver/servertest"
)

// What is wrong is said before the connection is upgraded.
func TestExecIsRefused(t *testing.T) {
	t.Parallel()
	s, api := start(t, servertest.Settings{Sandboxes: true})
	s.NewSandbox(t, namespace, "box")
	create(t, api, python("pending"))
	over := create(t, api, python("over"))
	over.Status.Phase, over.Status.Reason, over.Status.CompletionTime = v1.SandboxTerminated, "TimedOut", ptr.To(metav1.Now())
	if _, err := api.Sandboxes(namespace).UpdateStatus(t.Context(), over, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	output := remotecommand.StreamOptions{Stdout: io.Discard}
	for _, tc := range []struct {
		name, sandbox string
		options       remotecommand.StreamOptions
		argv          []string
		query, says   string
	}{
		{name: "no program", sandbox: "box", options: output, says: "program to run is missing"},
		{name: "an empty program", sandbox: "box", options: output, argv: []string{"", "a"}, says: "program to run is missing"},
		{name: "NUL", sandbox: "box", options: output, argv: []string{"echo", "a\x00b"}, says: "argument 1 contains NUL"},
		{name: "no UTF-8", sandbox: "box", options: output, argv: []string{"echo", "\xff"}, says: "argument 1 is no UTF-8"},
		{name: "no streams", sandbox: "box", argv: []string{"true"}, says: "at least one of"},
		{name: "a container", sandbox: "box", options: output, argv: []string{"true"}, query: "container=sandbox", says: "container"},
		{name: "an unknown parameter", sandbox: "box", options: output, argv: []string{"true"}, query: "privileged=true", says: `unknown parameter "privileged"`},
		{name: "a flag that is none", sandbox: "box", options: output, argv: []string{"true"}, query: "tty=maybe", says: "neither true nor false"},
		{name: "a flag twice", sandbox: "box", options: output, argv: []string{"true"}, query: "tty=true&tty=false", says: "2 times"},
		{name: "no sandbox", sandbox: "none", options: output, argv: []string{"true"}, says: `"none" not found`},
		{name: "no sandbox yet", sandbox: "pending", options: output, argv: []string{"true"}, says: "Pending, not running yet"},
		{name: "a sandbox that was", sandbox: "over", options: output, argv: []string{"true"}, says: "is over: Terminated (TimedOut)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			address := execURL(s, tc.sandbox, tc.options, tc.argv...)
			if tc.query != "" {
				address.RawQuery += "&" + tc.query
			}
			for _, p := range protocols {
				if err := p.executor(t, s, address).StreamWithContext(t.Context(), tc.options); err == nil || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("%s: got %v, want %q", p.name, err, tc.says)
				}
			}
		})
	}
	for _, spoken := range []string{"channel.k8s.io", "v3.channel.k8s.io", "base64.channel.k8s.io"} {
		err := webSocket(spoken)(t, s, execURL(s, "box", output, "true")).StreamWithContext(t.Context(), output)
		if err == nil || !strings.Contains(err.Error(), "v5.channel.k8s.io") {
			t.Errorf("%s: %v", spoken, err)
		}
	}
	address := execURL(s, "box", output, "true")
	for _, verb := range []func() *rest.Request{s.REST().Get, s.REST().Post} {
		if err := verb().RequestURI(address.RequestURI()).Do(t.Context()).Error(); !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), "upgrade") {
			t.Errorf("without an upgrade: %v", err)
		}
	}
}

// To run something is to create, over a WebSocket too.
func TestExecNeedsCreateWhateverTheMethod(t *testing.T) {
	t.Parallel()
	s, _ := start(t, servertest.Settings{Sandboxes: true, Authorizer: rules(
		"reader get sandboxes/exec "+namespace+"/box",
		"both get sandboxes/exec "+namespace+"/box", "both create sandboxes/exec "+namespace+"/box",
		"poster create sandboxes/exec "+namespace+"/box",
		"elsewhere get sandboxes/exec other/box", "elsewhere create sandboxes/exec other/box",
	)})
	s.NewSandbox(t, namespace, "box")
	output := remotecommand.StreamOptions{Stdout: io.Discard}
	for _, tc := range []struct {
		user      string
		webSocket bool
		allowed   bool
		missing   string
	}{
		{user: "reader", webSocket: true, missing: "create"},
		{user: "reader", missing: "create"},
		{user: "both", webSocket: true, allowed: true},
		{user: "both", allowed: true},
		{user: "poster", allowed: true},
		{user: "poster", webSocket: true, missing: "get"},
		{user: "elsewhere", webSocket: true, missing: "get"},
		{user: "elsewhere", missing: "create"},
	} {
		lent := *s
		lent.Client = as(s, tc.user)
		run := spdy
		if tc.webSocket {
			run = webSocket("v5.channel.k8s.io")
		}
		err := run(t, &lent, execURL(s, "box", output, "true")).StreamWithContext(t.Context(), output)
		if tc.allowed && err != nil || !tc.allowed && (err == nil || !strings.Contains(err.Error(), tc.missing) || !strings.Contains(err.Error(), "orbidden") && !strings.Contains(err.Error(), "forbidden")) {
			t.Errorf("%+v: %v", tc, err)
		}
	}
}

// The controller's word is taken for an object that is there, for life.
func TestPodsAreBoundToTheSandboxTheyWereMadeFor(t *testing.T) {
	t.Parallel()
	s, api := start(t, servertest.Settings{})
	box, other := create(t, api, python("box")), create(t, api, python("other"))
	pod := uuid.NewString()
	base := "/apis/llmsafespace.dev/v1/namespaces/" + namespace + "/sandboxes/"
	put := func(path, body string) error {
		return s.REST().Put().AbsPath(base + path).Body([]byte(body)).Do(t.Context()).Error()
	}
	body := func(uid, pod string) string {
		return `{"sandboxUID":"` + uid + `","podName":"` + pod + `","podNamespace":"` + namespace + `"}`
	}
	good := body(string(box.UID), "box-1")
	for range 2 {
		if err := put("box/pods/"+pod, good); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		path, body string
		is         func(error) bool
	}{
		"another sandbox's pod":  {"other/pods/" + pod, body(string(other.UID), "box-1"), apierrors.IsConflict},
		"a second pod":           {"box/pods/" + uuid.NewString(), good, apierrors.IsConflict},
		"an earlier sandbox":     {"other/pods/" + uuid.NewString(), body(uuid.NewString(), "other-1"), apierrors.IsConflict},
		"no sandbox":             {"none/pods/" + uuid.NewString(), good, apierrors.IsNotFound},
		"no UID":                 {"box/pods/..", good, apierrors.IsBadRequest},
		"a UID in other letters": {"box/pods/" + strings.ToUpper(uuid.NewString()), good, apierrors.IsBadRequest},
		"a path":                 {"box/pods/" + uuid.NewString() + "/x", good, apierrors.IsBadRequest},
		"nothing":                {"box/pods/" + uuid.NewString(), "", apierrors.IsBadRequest},
		"no name":                {"box/pods/" + uuid.NewString(), body(string(box.UID), ""), apierrors.IsBadRequest},
		"a name that is a path":  {"box/pods/" + uuid.NewString(), body(string(box.UID), "../x"), apierrors.IsBadRequest},
		"far more than it takes": {"box/pods/" + uuid.NewString(), body(string(box.UID), strings.Repeat("a", 5000)), apierrors.IsBadRequest},
	} {
		if err := put(tc.path, tc.body); !tc.is(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.REST().Delete().AbsPath(base + "other/pods/" + pod).Do(t.Context()).Error(); !apierrors.IsConflict(err) {
		t.Errorf("dropped in another's name: %v", err)
	}
	list, err := s.REST().Get().AbsPath(base + "box/pods").Do(t.Context()).Raw()
	if err != nil || !strings.Contains(string(list), pod) || strings.Contains(string(list), "other") {
		t.Errorf("%s, %v", list, err)
	}
	for range 2 {
		if err := s.REST().Delete().AbsPath(base + "box/pods/" + pod).Do(t.Context()).Error(); err != nil {
			t.Error(err)
		}
	}
	if err := put("box/pods/"+pod, good); !apierrors.IsConflict(err) {
		t.Errorf("a late word revives it: %v", err)
	}
	other.Status.Phase, other.Status.CompletionTime = v1.SandboxFailed, &metav1.Time{Time: time.Now()}
	if _, err := api.Sandboxes(namespace).UpdateStatus(t.Context(), other, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := put("other/pods/"+uuid.NewString(), body(string(other.UID), "other-1")); !apierrors.IsConflict(err) {
		t.Errorf("a sandbox that is over gets a pod: %v", err)
	}
}
