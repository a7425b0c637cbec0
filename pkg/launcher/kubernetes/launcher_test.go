// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"safebeam.dev/safebeam/pkg/launcher"
)

var spec = launcher.JobSpec{
	Namespace: "ns", Model: "claude", ModelUID: "uid", SecretName: "key", IdleTimeout: 5 * time.Minute, TurnsPerJob: 8,
}

func TestJobSaysWhatItWasMadeOf(t *testing.T) {
	t.Parallel()
	for _, warm := range []bool{false, true} {
		what := launcher.Job{Name: "tightbeam-llm-claude-x", Spec: spec, Warm: warm, StartTime: time.Now().UTC()}
		job := template{"gateway:7444", []byte("PEM")}.job(what, "image:1")
		read, err := launched(job)
		if err != nil || read.Spec.Hash() != spec.Hash() || read.Warm != warm || !read.StartTime.Equal(what.StartTime) || read.Name != what.Name {
			t.Errorf("%+v, %v", read, err)
		}
		job.OwnerReferences[0].UID = "another"
		if _, err := launched(job); err == nil {
			t.Error("a Job of another owner passes for ours")
		}
	}
}

func TestOnlyTheOneSecretIsMounted(t *testing.T) {
	t.Parallel()
	secrets := func(spec launcher.JobSpec) (names []string) {
		pod := template{}.pod(launcher.Job{Spec: spec}, "image")
		for _, volume := range pod.Volumes {
			if volume.Secret != nil {
				names = append(names, volume.Secret.SecretName)
			}
		}
		if len(pod.Containers[0].EnvFrom) > 0 {
			t.Error("environment from elsewhere")
		}
		for _, variable := range pod.Containers[0].Env {
			if variable.ValueFrom != nil {
				t.Errorf("variable %s from elsewhere", variable.Name)
			}
		}
		return names
	}
	if got := secrets(spec); len(got) != 1 || got[0] != "key" {
		t.Errorf("secrets %v", got)
	}
	without := spec
	without.SecretName = ""
	if got := secrets(without); len(got) != 0 {
		t.Errorf("secrets %v", got)
	}
}

func TestImagesAreMappedAndThenAllowed(t *testing.T) {
	t.Parallel()
	images := Images{Default: "reg/llm:1", Allowed: []string{"reg/llm:*", "reg/other@sha256:*"}, Map: map[string]string{SeedImage: "reg/llm:1", "exact/name:2": "reg/llm:2"}}
	if err := images.Validate(); err != nil {
		t.Fatal(err)
	}
	for named, want := range map[string]string{
		"":                       "reg/llm:1",
		SeedImage:                "reg/llm:1",
		SeedImage + ":latest":    "reg/llm:1",
		SeedImage + "@sha256:00": "reg/llm:1",
		"exact/name:2":           "reg/llm:2",
		"reg/llm:3":              "reg/llm:3",
		"reg/other@sha256:ff":    "reg/other@sha256:ff",
		"exact/name:3":           "",
		"reg/llm/evil:1":         "",
		"host:5000/llm":          "",
		"evil":                   "",
	} {
		got, err := images.resolve(named)
		if got != want {
			t.Errorf("%q: %q, want %q", named, got, want)
		}
		var refusal *launcher.Refusal
		if want == "" && (!errors.As(err, &refusal) || refusal.Reason != launcher.ReasonImageNotAllowed) {
			t.Errorf("%q: %v", named, err)
		}
	}
	if err := (Images{Default: "a", Allowed: []string{"b"}}).Validate(); err == nil {
		t.Error("a default that is not allowed passes")
	}
}

func TestDefaultEgressLeavesOutWhatIsNotTheInternet(t *testing.T) {
	t.Parallel()
	network := Network{GatewayNamespace: "safebeam-system", GatewayPort: 7444, ClusterCIDRs: []string{"203.0.113.0/24", "2001:db8::/32"}}
	policy := network.networkPolicy(spec)
	if len(policy.Spec.PolicyTypes) != 2 || policy.Spec.Ingress != nil {
		t.Errorf("ingress is open: %+v", policy.Spec)
	}
	blocks := policy.Spec.Egress[len(policy.Spec.Egress)-1]
	if len(blocks.Ports) != 1 || blocks.Ports[0].Port.IntValue() != 443 {
		t.Errorf("ports %+v", blocks.Ports)
	}
	allowed := func(address string) bool {
		ip := net.ParseIP(address)
		for _, peer := range blocks.To {
			if in(t, peer.IPBlock.CIDR, ip) && !anyIn(t, peer.IPBlock.Except, ip) {
				return true
			}
		}
		return false
	}
	for address, want := range map[string]bool{
		"1.1.1.1": true, "8.8.8.8": true, "2606:4700::1": true,
		"169.254.169.254": false, "10.96.0.1": false, "172.31.0.1": false, "192.168.1.1": false, "100.100.0.1": false,
		"127.0.0.1": false, "224.0.0.1": false, "0.0.0.0": false, "203.0.113.9": false,
		"fd00:ec2::254": false, "fe80::1": false, "::1": false, "64:ff9b::a00:1": false, "2001:db8::1": false,
	} {
		if got := allowed(address); got != want {
			t.Errorf("%s: allowed %v, want %v", address, got, want)
		}
	}
	// What the model says replaces it; gateway and DNS stay.
	with := spec
	with.Egress = []networkingv1.NetworkPolicyEgressRule{}
	if rules := network.egress(with); len(rules) != 2 {
		t.Errorf("%d rules", len(rules))
	}
}

func in(t *testing.T, cidr string, ip net.IP) bool {
	t.Helper()
	_, network, err := net.ParseCIDR(cidr)
	if err != nil {
		t.Fatal(err)
	}
	return network.Contains(ip)
}

func anyIn(t *testing.T, cidrs []string, ip net.IP) bool {
	t.Helper()
	for _, cidr := range cidrs {
		if in(t, cidr, ip) {
			return true
		}
	}
	return false
}

func TestLongNamesFitLabels(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 200)
	for _, name := range []string{"m", "a.b", long, long + "b"} {
		if problems := validation.IsValidLabelValue(labelValue(name)); len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
		}
	}
	if labelValue(long) == labelValue(long+"b") {
		t.Error("two names share a label")
	}
}

func TestExitSaysWhatTheJobSaid(t *testing.T) {
	t.Parallel()
	at := metav1.NewTime(time.Unix(1000, 0))
	pod := func(phase corev1.PodPhase, code int32, message string, conditions ...corev1.PodCondition) []*corev1.Pod {
		return []*corev1.Pod{{Status: corev1.PodStatus{Phase: phase, Conditions: conditions, ContainerStatuses: []corev1.ContainerStatus{{
			Name: containerName, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: "Error", Message: message, FinishedAt: at}},
		}}}}}
	}
	failed := batchv1.Job{Status: batchv1.JobStatus{Conditions: []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Message: "pod is gone"}}}}
	for name, c := range map[string]struct {
		job             batchv1.Job
		pods            []*corev1.Pod
		reason, message string
	}{
		"runs":           {},
		"left":           {pods: pod(corev1.PodSucceeded, 0, ""), reason: launcher.ReasonCompleted, message: "exit code 0"},
		"invalid Secret": {pods: pod(corev1.PodFailed, 3, `SecretInvalid: key "api-key" is missing`), reason: launcher.ReasonSecretInvalid, message: `key "api-key" is missing`},
		"killed":         {pods: pod(corev1.PodFailed, 137, ""), reason: launcher.ReasonJobFailed, message: "exit code 137"},
		"drained": {pods: pod(corev1.PodFailed, 137, "", corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Message: "Eviction API"}),
			reason: launcher.ReasonCompleted, message: "Eviction API"},
		"pod gone": {job: failed, reason: launcher.ReasonJobFailed, message: "pod is gone"},
	} {
		exit := exitOf(&c.job, c.pods)
		if c.reason == "" {
			if exit != nil {
				t.Errorf("%s: %+v", name, exit)
			}
			continue
		}
		if exit == nil || exit.Reason != c.reason || !strings.Contains(exit.Message, c.message) {
			t.Errorf("%s: %+v, want %s %q", name, exit, c.reason, c.message)
		}
	}
}

func TestStuckPodsAreToldFromSlowOnes(t *testing.T) {
	t.Parallel()
	waits := func(reason string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns"},
			Spec:       corev1.PodSpec{Volumes: []corev1.Volume{{VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "key"}}}}},
			Status: corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{
				Name: containerName, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "why"}},
			}}},
		}
	}
	mount := func(message string) []corev1.Event { return []corev1.Event{{Reason: "FailedMount", Message: message}} }
	for name, c := range map[string]struct {
		pod       *corev1.Pod
		scheduled time.Duration
		events    []corev1.Event
		reason    string
	}{
		"just scheduled":        {waits("ErrImageNeverPull"), time.Second, nil, ""},
		"never to be pulled":    {waits("ErrImageNeverPull"), 5 * time.Second, nil, launcher.ReasonJobFailed},
		"pull may still work":   {waits("ImagePullBackOff"), 5 * time.Second, nil, ""},
		"pull does not work":    {waits("ImagePullBackOff"), 30 * time.Second, nil, launcher.ReasonJobFailed},
		"being made":            {waits("ContainerCreating"), 30 * time.Second, nil, ""},
		"no Secret":             {waits("ContainerCreating"), 5 * time.Second, mount(`MountVolume.SetUp failed for volume "llm" : secret "key" not found`), launcher.ReasonSecretNotFound},
		"another's Secret":      {waits("ContainerCreating"), 5 * time.Second, mount(`secret "other" not found`), ""},
		"volume may still come": {waits("ContainerCreating"), 30 * time.Second, mount("timed out"), ""},
		"volume does not come":  {waits("ContainerCreating"), 2 * time.Minute, mount("timed out"), launcher.ReasonJobFailed},
	} {
		exit, err := stuck(c.pod, c.scheduled, func() ([]corev1.Event, error) { return c.events, nil })
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := exit; (got == nil) != (c.reason == "") || got != nil && got.Reason != c.reason {
			t.Errorf("%s: %+v, want %q", name, got, c.reason)
		}
	}
}
