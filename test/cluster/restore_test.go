// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// The steps of docs/operate.md: a snapshot of the running server, the volume
// lost, and everything of the snapshot back on a new one.
func TestSnapshotIsRestoredOntoANewVolume(t *testing.T) {
	needCluster(t)
	if !local {
		t.Skip("throws the server's volume away: on hack/cluster only")
	}
	ns := namespace(t)
	echo(t, ns, `{}`)
	kept := ended(t, say(t, ns, "before the snapshot"), tightbeamv1.TurnSucceeded, 60*time.Second)

	kubectl(t, "", "-n", system, "create", "serviceaccount", "e2e-backup")
	kubectl(t, "", "create", "clusterrolebinding", "e2e-backup", "--clusterrole=safebeam-backup", "--serviceaccount="+system+":e2e-backup")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		_, _ = tryKubectl(ctx, "", "delete", "clusterrolebinding", "e2e-backup")
		_, _ = tryKubectl(ctx, "", "-n", system, "delete", "serviceaccount", "e2e-backup")
	})
	snapshot := filepath.Join(t.TempDir(), "safebeam.snapshot")
	file, err := os.Create(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	save := exec.CommandContext(t.Context(), "kubectl", append(toServer(t, "e2e-backup"), "get", "--raw", "/snapshot")...)
	save.Stdout = file
	var said strings.Builder
	save.Stderr = &said
	if err := save.Run(); err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	apply(t, ns, "apiVersion: tightbeam.dev/v1\nkind: Conversation\nmetadata: {name: after}\nspec: {model: echo}\n")

	before := serverPod(t)
	kubectl(t, "", "-n", system, "scale", "deployment", "safebeam-apiserver", "--replicas=0")
	kubectl(t, "", "-n", system, "wait", "--for=delete", "pod/"+before, patience)
	kubectl(t, "", "-n", system, "delete", "pvc", "safebeam-apiserver", patience)
	kubectl(t, "", "apply", "-f", filepath.Join(root, "artifacts/deploy/apiserver/pvc.yaml"))
	kubectl(t, "", "apply", "-f", filepath.Join(root, "artifacts/restore/pod.yaml"))
	pod := []string{"-n", system, "wait", "pod/safebeam-restore", patience}
	kubectl(t, "", append(pod, "--for=jsonpath={.status.phase}=Running")...)
	content, err := os.ReadFile(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(kubectl(t, string(content), "-n", system, "attach", "--stdin", "safebeam-restore"))
	kubectl(t, "", append(pod, "--for=jsonpath={.status.phase}=Succeeded")...)
	kubectl(t, "", "-n", system, "delete", "pod", "safebeam-restore")
	kubectl(t, "", "-n", system, "scale", "deployment", "safebeam-apiserver", "--replicas=1")
	serverUp(t, before)
	kubectl(t, "", "wait", "--for=condition=Available", patience, "apiservice", "v1.tightbeam.dev")

	now, err := own.TightbeamV1().Turns(ns).Get(t.Context(), kept.Name, metav1.GetOptions{})
	if err != nil || now.UID != kept.UID || now.Status.Phase != tightbeamv1.TurnSucceeded {
		t.Errorf("the turn of before: %+v, %v", now, err)
	}
	if entries := conversationLog(t, ns, "c"); len(entries) != 2 || *entries[1].Content[0].Text != "before the snapshot" {
		t.Errorf("the log: %+v", entries)
	}
	refused(t, "NotFound", "", "-n", ns, "get", "conversation", "after")
	// The keys are the old ones too: the gateway's clients trust it as before.
	ended(t, say(t, ns, "after the restore"), tightbeamv1.TurnSucceeded, 120*time.Second)
}
