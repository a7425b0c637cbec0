// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// fakeProvider speaks the providers' protocols inside the cluster.
const fakeProvider = `
apiVersion: v1
kind: Pod
metadata: {name: fake, labels: {app: fake}}
spec:
  securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: fake
    image: localhost/fakeprovider:dev
    args: [--listen=:8080]
    ports: [{containerPort: 8080}]
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
---
apiVersion: v1
kind: Service
metadata: {name: fake}
spec: {selector: {app: fake}, ports: [{port: 8080}]}
`

// The manifest of the project's ancestor as it is: its image is mapped to ours,
// and its Secret is what it says. Only where the provider is must be changed,
// since there is none in here.
func TestSeedsManifestEndsInASucceededTurn(t *testing.T) {
	needCluster(t)
	t.Parallel()
	manifest, err := os.ReadFile(filepath.Join(root, "artifacts/examples/tightbeammodel.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(manifest), "ghcr.io/calebfaruki/tightbeam-llm-job:latest") {
		t.Fatalf("this is not the seed's manifest:\n%s", manifest)
	}
	ns := namespace(t)
	kubectl(t, "", "-n", ns, "create", "secret", "generic", "llm-anthropic-key",
		"--from-literal=provider=anthropic", "--from-literal=model=claude-sonnet-4-20250514", "--from-literal=api-key=sk-test", "--from-literal=max-tokens=4096")
	apply(t, ns, fakeProvider)
	kubectl(t, "", "-n", ns, "wait", "--for=condition=Ready", "pod/fake", patience)
	kubectl(t, strings.ReplaceAll(string(manifest), "workspace-my-ws", ns), "-n", ns, "apply", "-f", "-")
	apply(t, ns, "apiVersion: tightbeam.dev/v1\nkind: Conversation\nmetadata: {name: c}\nspec: {model: claude-sonnet}\n")

	// The provider on the internet is not to be reached from here, and a pod of
	// the same namespace is not either, until the model says so.
	patch := func(egress string) {
		kubectl(t, "", "-n", ns, "patch", "tbm", "claude-sonnet", "--type=merge", "-p",
			`{"spec":{"baseURL":"http://fake.`+ns+`.svc:8080","egress":`+egress+`,"retry":{"maxAttempts":1}}}`)
	}
	patch(`null`)
	closed := ended(t, say(t, ns, "hello?"), tightbeamv1.TurnFailed, 90*time.Second)
	if attempts := closed.Status.Attempts; len(attempts) == 0 || attempts[0].Error == nil {
		t.Errorf("attempts %+v", attempts)
	} else {
		t.Logf("without egress: %s", attempts[0].Error.Message)
	}
	patch(`[{"to":[{"podSelector":{"matchLabels":{"app":"fake"}}}],"ports":[{"port":8080}]}]`)
	// The job of before takes turns until it is told to leave.
	eventually(t, 90*time.Second, func(ctx context.Context) error {
		turn, err := own.TightbeamV1().Turns(ns).Create(ctx, newTurn("c", "hello"), metav1.CreateOptions{})
		if err != nil {
			return err
		}
		for {
			now, err := own.TightbeamV1().Turns(ns).Get(ctx, turn.Name, metav1.GetOptions{})
			switch {
			case err != nil:
				return err
			case now.Status.Phase == tightbeamv1.TurnSucceeded:
				if got := now.Status.Message; got == nil || got.Content[0].Text == nil || *got.Content[0].Text != "ok" {
					t.Errorf("message %+v", got)
				}
				return nil
			case now.Status.Phase.Terminal():
				return fmt.Errorf("turn %s: %+v", now.Name, now.Status.Error)
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
}
