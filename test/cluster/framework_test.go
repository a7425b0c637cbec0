// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/client"
)

// system is the namespace of artifacts/deploy.
const system = "safebeam-system"

// controller is the user that the controller is.
const controller = "system:serviceaccount:safebeam-system:safebeam-controller"

// kubectl runs it with input on standard input and returns what it printed.
func kubectl(t *testing.T, input string, args ...string) string {
	t.Helper()
	out, err := tryKubectl(t.Context(), input, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// refused runs kubectl, which must fail and say so.
func refused(t *testing.T, want, input string, args ...string) {
	t.Helper()
	out, err := tryKubectl(t.Context(), input, args...)
	if err == nil {
		t.Fatalf("kubectl %s went through:\n%s", strings.Join(args, " "), out)
	}
	if !strings.Contains(out, want) {
		t.Fatalf("kubectl %s: want %q in\n%s", strings.Join(args, " "), want, out)
	}
}

func tryKubectl(ctx context.Context, input string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "kubectl", args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	command.Stdin = strings.NewReader(input)
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	err := command.Run()
	return out.String(), err
}

// namespace makes a namespace that is open to jobs, and deletes it afterwards.
func namespace(t *testing.T) string {
	t.Helper()
	name := closedNamespace(t)
	open(t, name)
	return name
}

func closedNamespace(t *testing.T) string {
	t.Helper()
	ns, err := kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "e2e-", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if t.Failed() {
			out, _ := tryKubectl(ctx, "", "-n", ns.Name, "get", "tbm,conv,turns,jobs,pods,events")
			t.Logf("namespace %s:\n%s", ns.Name, out)
		}
		if err := kube.CoreV1().Namespaces().Delete(ctx, ns.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			t.Error(err)
		}
	})
	// Pods need it, and it comes a moment later.
	eventually(t, 30*time.Second, func(ctx context.Context) error {
		_, err := kube.CoreV1().ServiceAccounts(ns.Name).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	return ns.Name
}

// open lets the controller run jobs in a namespace.
func open(t *testing.T, namespace string) {
	t.Helper()
	_, err := kube.RbacV1().RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "safebeam-jobs"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "safebeam-jobs"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: "safebeam-controller", Namespace: system}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// busy is how many times as long anything may take on a machine that others use
// as well. Bounds are there for what hangs; a test that is about one uses inTime.
const busy = 4

// patience is that of kubectl.
const patience = "--timeout=4m"

// eventually tries until it works, and fails the test with what was last wrong.
// within is what it takes at most on a machine that nobody else uses.
func eventually(t *testing.T, within time.Duration, try func(context.Context) error) {
	t.Helper()
	inTime(t, within*busy, try)
}

// inTime is eventually where the bound is what is tested.
func inTime(t *testing.T, within time.Duration, try func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("after %v: %v", within, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// echo makes a model that answers by itself, and a conversation "c" on it.
// parameters are JSON, as package echo has them.
func echo(t *testing.T, namespace, parameters string) {
	t.Helper()
	apply(t, namespace, fmt.Sprintf(`
apiVersion: tightbeam.dev/v1
kind: TightbeamModel
metadata: {name: echo}
spec: {provider: echo, model: echo, idleTimeout: 120, parameters: %s}
---
apiVersion: tightbeam.dev/v1
kind: Conversation
metadata: {name: c}
spec: {model: echo}
`, parameters))
}

func apply(t *testing.T, namespace, manifest string) {
	t.Helper()
	kubectl(t, manifest, "-n", namespace, "apply", "-f", "-")
}

// say creates a turn in the conversation "c".
func say(t *testing.T, namespace, text string) *tightbeamv1.Turn {
	t.Helper()
	turn, err := own.TightbeamV1().Turns(namespace).Create(t.Context(), newTurn("c", text), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return turn
}

func newTurn(conversation, text string) *tightbeamv1.Turn {
	return &tightbeamv1.Turn{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "t-"},
		Spec: tightbeamv1.TurnSpec{
			Conversation: conversation,
			Messages:     []tightbeamv1.Message{{Role: "user", Content: []tightbeamv1.ContentBlock{{Text: &text}}}},
		},
	}
}

// ended waits for a turn to end in the phase.
func ended(t *testing.T, turn *tightbeamv1.Turn, phase tightbeamv1.TurnPhase, within time.Duration) *tightbeamv1.Turn {
	t.Helper()
	now := terminal(t, turn, within)
	if now.Status.Phase != phase {
		t.Fatalf("turn %s ended %s, want %s: %+v", now.Name, now.Status.Phase, phase, now.Status)
	}
	return now
}

// terminal waits for a turn to end, however it does.
func terminal(t *testing.T, turn *tightbeamv1.Turn, within time.Duration) (now *tightbeamv1.Turn) {
	t.Helper()
	eventually(t, within, func(ctx context.Context) (err error) {
		now, err = own.TightbeamV1().Turns(turn.Namespace).Get(ctx, turn.Name, metav1.GetOptions{})
		if err == nil && !now.Status.Phase.Terminal() {
			err = fmt.Errorf("turn %s is %s", now.Name, now.Status.Phase)
		}
		return err
	})
	return now
}

// conversationLog reads a conversation's log, of what is there.
func conversationLog(t *testing.T, namespace, conversation string) (entries []tightbeamv1.LogEntry) {
	t.Helper()
	raw := kubectl(t, "", "get", "--raw", "/apis/tightbeam.dev/v1/namespaces/"+namespace+"/conversations/"+conversation+"/log")
	for _, line := range strings.Split(strings.TrimSpace(raw), "\n") {
		var entry tightbeamv1.LogEntry
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		entries = append(entries, entry)
	}
	return entries
}

// stream reads a turn's events to the end, by our own client.
func stream(t *testing.T, turn *tightbeamv1.Turn) (text string, events []tightbeamv1.TurnEvent) {
	t.Helper()
	for event, err := range client.Stream(t.Context(), config, turn.Namespace, turn.Name, 0) {
		if err != nil {
			t.Fatalf("streaming turn %s: %v", turn.Name, err)
		}
		events = append(events, event)
		if event.Type == tightbeamv1.TurnEventBlockDelta {
			text += event.Text
		}
	}
	whole(t, events)
	return text, events
}

// whole checks that events are numbered without a gap but those that Resumed
// tells, and end once.
func whole(t *testing.T, events []tightbeamv1.TurnEvent) {
	t.Helper()
	next := int64(1)
	for i, event := range events {
		if event.Type == tightbeamv1.TurnEventResumed && event.Number > next {
			next = event.Number
		}
		if event.Number != next {
			t.Fatalf("event %d has number %d, want %d", i, event.Number, next)
		}
		next++
	}
	if len(events) == 0 {
		t.Fatal("no events")
	}
}
