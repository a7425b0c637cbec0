// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/apiserver/servertest"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	client "safebeam.dev/safebeam/pkg/generated/clientset/versioned/typed/llmsafespace/v1"
)

// start starts a server with Python and Node, and the profile data.
func start(t *testing.T, settings servertest.Settings) (*servertest.Server, client.LlmsafespaceV1Interface) {
	t.Helper()
	s := servertest.Start(t, settings)
	api := s.Clients().LlmsafespaceV1()
	for _, e := range []v1.RuntimeEnvironment{
		{ObjectMeta: metav1.ObjectMeta{Name: "debian-python"}, Spec: v1.RuntimeEnvironmentSpec{
			Image: "localhost/python:3.11", Language: "python", Version: "3.11", ServesVersions: []string{"3.10"}, PreInstalledPackages: []string{"numpy"},
			ResourceRequirements: &v1.RuntimeResources{MinMemory: ptr.To(resource.MustParse("64Mi")), RecommendedMemory: ptr.To(resource.MustParse("256Mi"))},
		}},
		{ObjectMeta: metav1.ObjectMeta{Name: "node"}, Spec: v1.RuntimeEnvironmentSpec{Image: "localhost/node:22", Language: "nodejs", Version: "22"}},
		{ObjectMeta: metav1.ObjectMeta{Name: "cobol"}, Spec: v1.RuntimeEnvironmentSpec{Image: "localhost/cobol:1", Language: "cobol"}},
	} {
		if _, err := api.RuntimeEnvironments().Create(t.Context(), &e, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, in := range []string{namespace, "platform"} {
		if _, err := api.SandboxProfiles(in).Create(t.Context(), &v1.SandboxProfile{ObjectMeta: metav1.ObjectMeta{Name: "data"}, Spec: v1.SandboxProfileSpec{
			Language: "python", SecurityLevel: v1.SecurityHigh, ResourceDefaults: &v1.Resources{Memory: ptr.To(resource.MustParse("1Gi"))},
			FilesystemConfig: &v1.ProfileFilesystem{WritablePaths: []string{"/workspace"}},
		}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return s, api
}

func python(name string, change ...func(*v1.Sandbox)) *v1.Sandbox {
	s := &v1.Sandbox{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.SandboxSpec{Runtime: "python:3.10"}}
	for _, f := range change {
		f(s)
	}
	return s
}

func create(t *testing.T, api client.LlmsafespaceV1Interface, s *v1.Sandbox) *v1.Sandbox {
	t.Helper()
	made, err := api.Sandboxes(namespace).Create(t.Context(), s, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestSandboxBecomesWhatItNames(t *testing.T) {
	t.Parallel()
	_, api := start(t, servertest.Settings{})
	forged := python("forged", func(s *v1.Sandbox) {
		s.Status = v1.SandboxStatus{Phase: v1.SandboxRunning, PodIP: "10.0.0.1", PodName: "kube-apiserver", CreatedBy: "root", RuntimeEnvironment: "node"}
	})
	made := create(t, api, forged)
	if want := (v1.SandboxStatus{Phase: v1.SandboxPending, CreatedBy: "safebeam-admin", RuntimeEnvironment: "debian-python", RuntimeVersion: "3.11"}); made.Status.Phase != want.Phase ||
		made.Status.PodIP != "" || made.Status.PodName != "" || made.Status.CreatedBy == "root" || made.Status.CreatedBy == "" ||
		made.Status.RuntimeEnvironment != want.RuntimeEnvironment || made.Status.RuntimeVersion != want.RuntimeVersion {
		t.Errorf("%+v", made.Status)
	}
	if !slices.Equal(made.Finalizers, []string{v1.SandboxFinalizer}) || made.Generation != 1 {
		t.Errorf("%+v", made.ObjectMeta)
	}
	by := create(t, api, python("by-name", func(s *v1.Sandbox) { s.Spec.Runtime = "node" }))
	if by.Status.RuntimeEnvironment != "node" || by.Status.RuntimeVersion != "22" {
		t.Errorf("%+v", by.Status)
	}
	bound := create(t, api, python("bound", func(s *v1.Sandbox) { s.Spec.ProfileRef = &v1.ObjectReference{Name: "data"} }))
	if bound.Spec.SecurityLevel != v1.SecurityHigh || bound.Spec.Resources.Memory.String() != "1Gi" || bound.Spec.Resources.CPU.String() != "500m" || !slices.Equal(bound.Spec.Filesystem.WritablePaths, []string{"/workspace"}) {
		t.Errorf("%+v", bound.Spec)
	}
	// The same manifest again, as kubectl replace sends it, changes nothing.
	again := python("bound", func(s *v1.Sandbox) {
		s.Spec.ProfileRef = &v1.ObjectReference{Name: "data"}
		s.ResourceVersion = bound.ResourceVersion
	})
	if updated, err := api.Sandboxes(namespace).Update(t.Context(), again, metav1.UpdateOptions{}); err != nil || !equality.Semantic.DeepEqual(updated.Spec, bound.Spec) {
		t.Errorf("%v", err)
	}
	list, err := api.Sandboxes(namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "spec.runtime=node,status.phase=Pending"})
	if err != nil || len(list.Items) != 1 || list.Items[0].Name != "by-name" {
		t.Errorf("%v, %v", list, err)
	}
}

// What is refused says which field, and what would be taken. Nothing is stored.
func TestSandboxIsRefused(t *testing.T) {
	t.Parallel()
	s, api := start(t, servertest.Settings{})
	quantities := func(cpu, memory string) func(*v1.Sandbox) {
		return func(s *v1.Sandbox) {
			s.Spec.Resources = &v1.Resources{CPU: ptr.To(resource.MustParse(cpu)), Memory: ptr.To(resource.MustParse(memory))}
		}
	}
	for name, tc := range map[string]struct {
		change func(*v1.Sandbox)
		field  string
		says   string
	}{
		"an unknown runtime":   {func(s *v1.Sandbox) { s.Spec.Runtime = "python:2.7" }, "spec.runtime", "debian-python (python:3.11, python:3.10); node (nodejs:22)"},
		"an image":             {func(s *v1.Sandbox) { s.Spec.Runtime = "docker.io/library/alpine:3" }, "spec.runtime", "images cannot be named"},
		"more cores than any":  {quantities("5", "1Gi"), "spec.resources.cpu", "at most 4"},
		"more memory than any": {quantities("1", "9Gi"), "spec.resources.memory", "at most 8Gi"},
		"999999Gi":             {quantities("1", "999999Gi"), "spec.resources.memory", "at most 8Gi"},
		"beyond all numbers":   {quantities("1", "99999999999999999999Ei"), "spec.resources.memory", "at most 8Gi"},
		"less than nothing":    {quantities("-1", "1Gi"), "spec.resources.cpu", "at least"},
		"half a byte":          {quantities("1", "536870912500m"), "spec.resources.memory", "whole number"},
		"too little to start":  {quantities("1", "32Mi"), "spec.resources.memory", "needs at least 64Mi"},
		"a profile of nowhere": {func(s *v1.Sandbox) { s.Spec.ProfileRef = &v1.ObjectReference{Name: "none"} }, "spec.profileRef.name", "agents/none"},
		"to loosen its profile": {func(s *v1.Sandbox) {
			s.Spec.ProfileRef, s.Spec.SecurityLevel = &v1.ObjectReference{Name: "data"}, "standard"
		}, "spec.securityLevel", "at least high"},
		"a profile of another": {func(s *v1.Sandbox) { s.Spec.ProfileRef, s.Spec.Runtime = &v1.ObjectReference{Name: "data"}, "node" }, "spec.runtime", "is for nodejs, the profile for python"},
		"a filter of the node's": {func(s *v1.Sandbox) {
			s.Spec.SecurityLevel = v1.SecurityCustom
			s.Spec.SecurityContext = &v1.SecurityContext{SeccompProfile: &v1.SeccompProfile{Type: v1.SeccompLocalhost, LocalhostProfile: "lax.json"}}
		}, "spec.securityContext.seccompProfile", "set profileRef"},
		"root":        {func(s *v1.Sandbox) { s.Spec.SecurityContext = &v1.SecurityContext{RunAsUser: ptr.To[int64](0)} }, "spec.securityContext.runAsUser", "from 1"},
		"an eternity": {func(s *v1.Sandbox) { s.Spec.Timeout = ptr.To[int32](86401) }, "spec.timeout", "86400"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := api.Sandboxes(namespace).Create(t.Context(), python("refused", tc.change), metav1.CreateOptions{})
			var status apierrors.APIStatus
			if !apierrors.IsInvalid(err) {
				t.Fatalf("got %v", err)
			}
			status = err.(apierrors.APIStatus)
			if causes := status.Status().Details.Causes; len(causes) != 1 || causes[0].Field != tc.field || !strings.Contains(causes[0].Message, tc.says) {
				t.Errorf("got %+v, want %s with %q", causes, tc.field, tc.says)
			}
		})
	}
	if _, err := api.Sandboxes(namespace).Create(t.Context(), python("dry"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
		t.Error(err)
	}
	if list, err := api.Sandboxes(namespace).List(t.Context(), metav1.ListOptions{}); err != nil || len(list.Items) > 0 {
		t.Errorf("%d are stored, %v", len(list.Items), err)
	}
	if s.Storages.Sandboxes.Live.Find(namespace, "dry") != nil {
		t.Error("a dry run lives")
	}
}

func TestWhatRunsChangesItsTimesAlone(t *testing.T) {
	t.Parallel()
	_, api := start(t, servertest.Settings{})
	sandboxes := api.Sandboxes(namespace)
	made := create(t, api, python("a"))
	longer := made.DeepCopy()
	longer.Spec.Timeout = ptr.To[int32](600)
	longer.Status.Phase, longer.Status.PodIP = v1.SandboxRunning, "10.0.0.1"
	updated, err := sandboxes.Update(t.Context(), longer, metav1.UpdateOptions{})
	if err != nil || updated.Generation != 2 || *updated.Spec.Timeout != 600 || updated.Status.Phase != v1.SandboxPending || updated.Status.PodIP != "" {
		t.Errorf("%+v, %v", updated, err)
	}
	other := updated.DeepCopy()
	other.Spec.Env = []v1.EnvVar{{Name: "A", Value: "b"}}
	if _, err := sandboxes.Update(t.Context(), other, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "create another") {
		t.Errorf("%v", err)
	}
	status := updated.DeepCopy()
	status.Spec.Timeout, status.Labels = ptr.To[int32](1), map[string]string{"a": "b"}
	status.Status.Phase, status.Status.CompletionTime = v1.SandboxFailed, ptr.To(metav1.Now())
	if updated, err = sandboxes.UpdateStatus(t.Context(), status, metav1.UpdateOptions{}); err != nil || *updated.Spec.Timeout != 600 || len(updated.Labels) > 0 || updated.Status.Phase != v1.SandboxFailed {
		t.Errorf("%+v, %v", updated, err)
	}
	updated.Status.Phase = v1.SandboxRunning
	if _, err := sandboxes.UpdateStatus(t.Context(), updated, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "is Failed") {
		t.Errorf("%v", err)
	}
}

// rules allow the admin everything, and others what is listed, as
// "user verb resource namespace/name".
func rules(allowed ...string) authorizer.Authorizer {
	return authorizer.AuthorizerFunc(func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
		resource := strings.TrimSuffix(a.GetResource()+"/"+a.GetSubresource(), "/")
		if slices.Contains(a.GetUser().GetGroups(), "system:masters") ||
			slices.Contains(allowed, fmt.Sprintf("%s %s %s %s/%s", a.GetUser().GetName(), a.GetVerb(), resource, a.GetNamespace(), a.GetName())) {
			return authorizer.DecisionAllow, "", nil
		}
		return authorizer.DecisionNoOpinion, "", nil
	})
}

// as is a client that the admin lends another name.
func as(s *servertest.Server, user string) *rest.Config {
	config := rest.CopyConfig(s.Client)
	config.Impersonate.UserName = user
	return config
}

func TestProfilesOfOthersNeedTheVerbUse(t *testing.T) {
	t.Parallel()
	s, _ := start(t, servertest.Settings{Authorizer: rules(
		"tenant create sandboxes "+namespace+"/", "tenant use sandboxprofiles platform/data", "stranger create sandboxes "+namespace+"/",
	)})
	for _, tc := range []struct {
		user, namespace, name string
		code                  int32
	}{
		{"tenant", "platform", "data", 0},
		{"tenant", "", "data", 0},
		{"stranger", "", "data", 0},
		{"stranger", "platform", "data", 403},
		{"stranger", "platform", "none", 403}, // and is not told that there is none
		{"tenant", "elsewhere", "data", 403},
	} {
		box := python("", func(s *v1.Sandbox) {
			s.GenerateName = "box-"
			s.Spec.ProfileRef = &v1.ObjectReference{Namespace: tc.namespace, Name: tc.name}
		})
		_, err := versioned.NewForConfigOrDie(as(s, tc.user)).LlmsafespaceV1().Sandboxes(namespace).Create(t.Context(), box, metav1.CreateOptions{})
		var code int32
		if err != nil {
			code = err.(apierrors.APIStatus).Status().Code
		}
		if code != tc.code {
			t.Errorf("%s, %s/%s: %v", tc.user, tc.namespace, tc.name, err)
		}
	}
}

func TestExecutionBelongsToTheSandboxOfTheTime(t *testing.T) {
	t.Parallel()
	_, api := start(t, servertest.Settings{})
	box := create(t, api, python("box"))
	create(t, api, python("cobol", func(s *v1.Sandbox) { s.Spec.Runtime = "cobol" }))
	gone := create(t, api, python("gone"))
	gone.Status.Phase, gone.Status.Reason, gone.Status.CompletionTime = v1.SandboxLost, "OOMKilled", ptr.To(metav1.Now())
	if _, err := api.Sandboxes(namespace).UpdateStatus(t.Context(), gone, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	executions := api.Executions(namespace)
	run := func(spec v1.ExecutionSpec) (*v1.Execution, error) {
		return executions.Create(t.Context(), &v1.Execution{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "run-"}, Spec: spec,
			Status: v1.ExecutionStatus{Phase: v1.ExecutionSucceeded, SandboxUID: "forged"},
		}, metav1.CreateOptions{})
	}
	for _, spec := range []v1.ExecutionSpec{
		{Sandbox: "box", Code: "print(1)"}, {Sandbox: "box", Code: "1", Language: "nodejs"}, {Sandbox: "cobol", Code: "1", Language: "bash"}, {Sandbox: "cobol", Command: []string{"a\nb", ""}},
	} {
		made, err := run(spec)
		if err != nil || made.Status.Phase.Terminal() || made.Status.SandboxUID == "forged" || spec.Sandbox == "box" && made.Status.SandboxUID != box.UID {
			t.Errorf("%+v: %+v, %v", spec, made, err)
		}
	}
	for _, tc := range []struct {
		spec        v1.ExecutionSpec
		field, says string
	}{
		{v1.ExecutionSpec{Sandbox: "none", Code: "1"}, "spec.sandbox", "none"},
		{v1.ExecutionSpec{Sandbox: "gone", Code: "1"}, "spec.sandbox", "the sandbox is Lost (OOMKilled)"},
		{v1.ExecutionSpec{Sandbox: "../box", Code: "1"}, "spec.sandbox", ""},
		{v1.ExecutionSpec{Sandbox: "box"}, "spec", "either code or command"},
		{v1.ExecutionSpec{Sandbox: "box", Code: "1", Command: []string{"true"}}, "spec.command", "keep one"},
		{v1.ExecutionSpec{Sandbox: "box", Code: "1", Language: "brainfuck"}, "spec.language", `"nodejs"`},
		{v1.ExecutionSpec{Sandbox: "cobol", Code: "1"}, "spec.language", `"python"`},
		{v1.ExecutionSpec{Sandbox: "box", Command: []string{"a\x00b"}}, "spec.command[0]", "NUL"},
	} {
		_, err := run(tc.spec)
		if !apierrors.IsInvalid(err) {
			t.Errorf("%+v: %v", tc.spec, err)
			continue
		}
		causes := err.(apierrors.APIStatus).Status().Details.Causes
		if !slices.ContainsFunc(causes, func(c metav1.StatusCause) bool { return c.Field == tc.field && strings.Contains(c.Message, tc.says) }) {
			t.Errorf("%+v: %+v", tc.spec, causes)
		}
	}
}

func TestWarmPodOfAUserStaysPending(t *testing.T) {
	t.Parallel()
	_, api := start(t, servertest.Settings{})
	pod, err := api.WarmPods(namespace).Create(t.Context(), &v1.WarmPod{
		ObjectMeta: metav1.ObjectMeta{Name: "mine"},
		Spec:       v1.WarmPodSpec{PoolRef: v1.ObjectReference{Name: "pool"}, LastHeartbeat: ptr.To(metav1.NewTime(time.Now()))},
		Status:     v1.WarmPodStatus{Phase: v1.WarmPodReady, PoolUID: types.UID("forged"), PodName: "x"},
	}, metav1.CreateOptions{})
	if err != nil || pod.Status.Phase != v1.WarmPodPending || pod.Status.PoolUID != "" || pod.Status.PodName != "" {
		t.Errorf("%+v, %v", pod, err)
	}
}
