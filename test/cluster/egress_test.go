// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// addresses that a pod of the test answers on: one of the internet (it is
// reserved for documentation, so nobody has it), and such as no job is to
// reach.
const internet, metadata, private, shared = "203.0.113.7", "169.254.169.254", "192.168.7.7", "100.64.7.7"

// What a job may reach without spec.egress, shown by a pod that has a job's
// labels, and by one that has not: what the one is refused must be there.
func TestJobsReachTheGatewayDNSAndTheInternetAlone(t *testing.T) {
	needCluster(t)
	if !local {
		t.Skip("gives addresses to a pod from the node: on hack/cluster only")
	}
	t.Parallel()
	ns := namespace(t)
	echo(t, ns, `{}`)
	ended(t, say(t, ns, "x"), tightbeamv1.TurnSucceeded, 60*time.Second) // its NetworkPolicy is there
	target := probe(t, ns, "target", nil, "listen", "443", "80", "8080")
	answerOn(t, target, internet, metadata, private, shared)

	allowed := []string{
		"safebeam-gateway.safebeam-system.svc:7444",
		"kube-dns.kube-system.svc:53",
		internet + ":443",
	}
	refused := []string{
		internet + ":80", internet + ":8080", // another port
		metadata + ":80", metadata + ":443", private + ":443", shared + ":443",
		target.Status.PodIP + ":443",                   // a pod of its namespace
		"kubernetes.default.svc:443", "10.99.0.1:6443", // the kube-apiserver, by Service and by address
		"10.99.0.1:10250", // the kubelet
		"safebeam-apiserver.safebeam-system.svc:443",  // our own API
		"safebeam-controller.safebeam-system.svc:443", // and the controller
	}
	all := append(append([]string{"dial"}, allowed...), refused...)

	free := said(t, probe(t, ns, "free", nil, all...))
	job := said(t, probe(t, ns, "job", func(pod *corev1.Pod) {
		pod.Labels = map[string]string{"tightbeam.dev/type": "llm", "tightbeam.dev/model": "echo"}
	}, all...))
	for _, address := range allowed {
		if !strings.Contains(job, "open "+address+"\n") {
			t.Errorf("a job does not reach %s", address)
		}
	}
	for _, address := range refused {
		if !strings.Contains(free, "open "+address+"\n") {
			t.Errorf("nobody reaches %s, so it shows nothing that a job does not", address)
		}
		if !strings.Contains(job, "closed "+address+":") {
			t.Errorf("a job reaches %s", address)
		}
	}
	if t.Failed() {
		t.Logf("a pod without policy:\n%s\na job:\n%s", free, job)
	}
}

// Nothing reaches into a job: it listens on nothing, and nobody could connect.
func TestNothingReachesIntoAJob(t *testing.T) {
	needCluster(t)
	t.Parallel()
	ns := namespace(t)
	echo(t, ns, `{}`)
	ended(t, say(t, ns, "x"), tightbeamv1.TurnSucceeded, 60*time.Second)
	// The same pod, but for what a job has: labels that its policy selects.
	open := probe(t, ns, "open", nil, "listen", "8080")
	job := probe(t, ns, "job", func(pod *corev1.Pod) {
		pod.Labels = map[string]string{"tightbeam.dev/type": "llm", "tightbeam.dev/model": "echo"}
	}, "listen", "8080")
	out := said(t, probe(t, ns, "outside", nil, "dial", open.Status.PodIP+":8080", job.Status.PodIP+":8080"))
	if !strings.Contains(out, "open "+open.Status.PodIP+":8080") || !strings.Contains(out, "closed "+job.Status.PodIP+":8080") {
		t.Error(out)
	}
}

// The policy is there for as long as a job is, whatever somebody does to it, and
// whatever the garbage collector does when the model goes.
func TestRunningJobsAreClosedInAgain(t *testing.T) {
	needCluster(t)
	t.Parallel()
	ns := namespace(t)
	echo(t, ns, `{delayMillis: 500, deltas: 60}`)
	turn := say(t, ns, "x")
	eventually(t, 60*time.Second, func(ctx context.Context) error { _, err := oneRunning(ctx, ns); return err })

	const name = "tightbeam-llm-echo"
	policies := kube.NetworkingV1().NetworkPolicies(ns)
	was, err := policies.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	again := func(owner string) {
		t.Helper()
		eventually(t, 10*time.Second, func(ctx context.Context) error {
			is, err := policies.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if is.UID == was.UID || !equality.Semantic.DeepEqual(is.Spec, was.Spec) || is.OwnerReferences[0].Kind != owner {
				return fmt.Errorf("it is %+v", is)
			}
			return nil
		})
	}
	kubectl(t, "", "-n", ns, "delete", "networkpolicy", name)
	again("TightbeamModel")
	kubectl(t, "", "-n", ns, "delete", "tbm", "echo", "--wait=false")
	again("Pod")
	ended(t, turn, tightbeamv1.TurnSucceeded, 60*time.Second)
	eventually(t, 30*time.Second, func(ctx context.Context) error {
		list, err := policies.List(ctx, metav1.ListOptions{})
		if err == nil && len(list.Items) > 0 {
			err = fmt.Errorf("left: %+v", list.Items)
		}
		return err
	})
}

// answerOn gives more addresses to a pod, and the node the way there.
func answerOn(t *testing.T, pod *corev1.Pod, addresses ...string) {
	t.Helper()
	node := func(name string, arguments ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), name, arguments...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(arguments, " "), err, out)
		}
		return string(out)
	}
	var device string
	route := strings.Fields(node("ip", "route", "get", pod.Status.PodIP))
	for i, word := range route[:len(route)-1] {
		if word == "dev" {
			device = route[i+1]
		}
	}
	pids := processes(t, pod, "probe")
	if len(pids) != 1 {
		t.Fatalf("%d processes of the pod", len(pids))
	}
	for _, address := range addresses {
		node("nsenter", "-t", strconv.Itoa(pids[0]), "-n", "ip", "address", "add", address+"/32", "dev", "lo")
		node("ip", "route", "replace", address+"/32", "via", pod.Status.PodIP, "dev", device, "onlink") // goes with the device
	}
}
