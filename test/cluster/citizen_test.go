// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

func TestKubectlKnowsTheResources(t *testing.T) {
	needCluster(t)
	t.Parallel()
	resources := kubectl(t, "", "api-resources", "--api-group=tightbeam.dev", "-o", "wide")
	for _, want := range []string{"tightbeammodels", "tbm", "tightbeamchannels", "tbc", "conversations", "conv", "turns", "safebeam", "deletecollection"} {
		if !strings.Contains(resources, want) {
			t.Errorf("api-resources lacks %q:\n%s", want, resources)
		}
	}
	for path, want := range map[string]string{
		"turns.spec.messages.content":        "image",
		"tightbeammodels.spec.jobs":          "turnsPerJob",
		"conversations.spec.maxQueuedTurns":  "<integer>",
		"tightbeamchannels.spec.targetModel": "<string>",
	} {
		out := kubectl(t, "", "explain", path)
		if !strings.Contains(out, want) || strings.Contains(out, "DESCRIPTION:\n    <empty>\n\n") {
			t.Errorf("explain %s:\n%s", path, out)
		}
	}
}

func TestKubectlReadsWaitsAndSelects(t *testing.T) {
	needCluster(t)
	t.Parallel()
	ns := namespace(t)
	echo(t, ns, `{}`)

	ctx, cancel := context.WithTimeout(t.Context(), busy*time.Minute)
	defer cancel()
	watch := exec.CommandContext(ctx, "kubectl", "-n", ns, "get", "turns", "-w", "--output-watch-events")
	watch.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	out, err := watch.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	turn := say(t, ns, "x")
	var phases []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		phases = append(phases, lines.Text())
		if strings.Contains(lines.Text(), "Succeeded") {
			break
		}
	}
	cancel()
	_ = watch.Wait() // it was ended
	if seen := strings.Join(phases, "\n"); !strings.Contains(seen, "ADDED") || !strings.Contains(seen, "Succeeded") {
		t.Errorf("get -w:\n%s", seen)
	}

	kubectl(t, "", "-n", ns, "wait", "--for=condition=Complete", patience, "turn/"+turn.Name)
	if described := kubectl(t, "", "-n", ns, "describe", "turn", turn.Name); !strings.Contains(described, "Succeeded") || !strings.Contains(described, "echo") {
		t.Errorf("describe:\n%s", described)
	}
	if found := kubectl(t, "", "-n", ns, "get", "turns", "--field-selector=status.phase=Succeeded,spec.conversation=c", "-o", "name"); !strings.Contains(found, turn.Name) {
		t.Errorf("field selector found %q", found)
	}
	if found := kubectl(t, "", "-n", ns, "get", "turns", "--field-selector=status.phase=Failed", "-o", "name"); strings.TrimSpace(found) != "" {
		t.Errorf("field selector found %q", found)
	}
	if all := kubectl(t, "", "-n", ns, "get", "safebeam"); !strings.Contains(all, turn.Name) || !strings.Contains(all, "tightbeammodel") {
		t.Errorf("the category:\n%s", all)
	}
}

func TestServerSideApplyOwnsFields(t *testing.T) {
	needCluster(t)
	t.Parallel()
	ns := namespace(t)
	model := func(tokens int) string {
		return fmt.Sprintf("apiVersion: tightbeam.dev/v1\nkind: TightbeamModel\nmetadata: {name: m}\nspec: {provider: echo, model: echo, maxTokens: %d}\n", tokens)
	}
	kubectl(t, model(100), "-n", ns, "apply", "--server-side", "--field-manager=one", "-f", "-")
	refused(t, "conflict", model(200), "-n", ns, "apply", "--server-side", "--field-manager=two", "-f", "-")
	kubectl(t, model(200), "-n", ns, "apply", "--server-side", "--field-manager=two", "--force-conflicts", "-f", "-")
	if got := kubectl(t, "", "-n", ns, "get", "tbm", "m", "-o", "jsonpath={.spec.maxTokens}"); got != "200" {
		t.Errorf("maxTokens %s", got)
	}
}

func TestApplyPrunes(t *testing.T) {
	needCluster(t)
	t.Parallel()
	ns := namespace(t)
	model := func(name string) string {
		return "apiVersion: tightbeam.dev/v1\nkind: TightbeamModel\nmetadata: {name: " + name + ", labels: {set: mine}}\nspec: {provider: echo, model: echo}\n---\n"
	}
	prune := []string{"-n", ns, "apply", "--prune", "-l", "set=mine", "--prune-allowlist=tightbeam.dev/v1/TightbeamModel", "-f", "-"}
	kubectl(t, model("one")+model("two"), prune...)
	kubectl(t, model("two"), prune...)
	if left := strings.TrimSpace(kubectl(t, "", "-n", ns, "get", "tbm", "-o", "name")); left != "tightbeammodel.tightbeam.dev/two" {
		t.Errorf("left: %q", left)
	}
}

func TestPluginsCreateTurns(t *testing.T) {
	needCluster(t)
	t.Parallel()
	ns := namespace(t)
	echo(t, ns, `{}`)
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin+"/safebeam", "./cmd/safebeam")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.Symlink("safebeam", filepath.Join(bin, "kubectl-create-turn")); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "kubectl", "create", "turn", "c", "--message", "by plugin", "--follow", "-n", ns)
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "PATH="+bin+":"+os.Getenv("PATH"))
	out, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "by plugin") {
		t.Fatalf("%v\n%s", err, out)
	}
}

// The cluster's own policies and webhooks hold for aggregated types as well.
func TestAdmissionPolicyOfTheClusterHolds(t *testing.T) {
	needCluster(t)
	t.Parallel()
	ns := namespace(t)
	policy := fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: %[1]s}
spec:
  failurePolicy: Fail
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[1]s}}
    resourceRules: [{apiGroups: [tightbeam.dev], apiVersions: ["*"], operations: [CREATE], resources: [tightbeammodels]}]
  validations: [{expression: "object.spec.maxTokens <= 100", message: "no more than 100 tokens here"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: %[1]s}
spec: {policyName: %[1]s, validationActions: [Deny]}
`, ns)
	apply(t, ns, policy)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if out, err := tryKubectl(ctx, policy, "delete", "-f", "-"); err != nil {
			t.Error(out)
		}
	})
	model := func(tokens int) string {
		return fmt.Sprintf("apiVersion: tightbeam.dev/v1\nkind: TightbeamModel\nmetadata: {generateName: m-}\nspec: {provider: echo, model: echo, maxTokens: %d}\n", tokens)
	}
	eventually(t, 30*time.Second, func(ctx context.Context) error {
		out, err := tryKubectl(ctx, model(200), "-n", ns, "create", "-f", "-")
		if err == nil || !strings.Contains(out, "no more than 100 tokens here") {
			return fmt.Errorf("not refused yet: %s", out)
		}
		return nil
	})
	kubectl(t, model(50), "-n", ns, "create", "-f", "-")
}

func TestNothingIsMadeInNamespacesThatAreNot(t *testing.T) {
	needCluster(t)
	t.Parallel()
	refused(t, "not found", "apiVersion: tightbeam.dev/v1\nkind: TightbeamModel\nmetadata: {name: m}\nspec: {provider: echo, model: echo}\n",
		"-n", "no-such-namespace", "create", "-f", "-")
}

func TestDeletionCascades(t *testing.T) {
	needCluster(t)
	t.Parallel()
	ns := namespace(t)
	echo(t, ns, `{}`)
	ended(t, say(t, ns, "x"), tightbeamv1.TurnSucceeded, 60*time.Second)
	none := func(within time.Duration, resource string) {
		t.Helper()
		eventually(t, within, func(ctx context.Context) error {
			out, err := tryKubectl(ctx, "", "-n", ns, "get", resource, "-o", "name")
			if err == nil && strings.TrimSpace(out) != "" {
				err = fmt.Errorf("left: %s", out)
			}
			return err
		})
	}
	kubectl(t, "", "-n", ns, "delete", "conversation", "c", "--cascade=foreground", patience)
	none(10*time.Second, "turns")
	refused(t, "NotFound", "", "get", "--raw", "/apis/tightbeam.dev/v1/namespaces/"+ns+"/conversations/c/log")
	kubectl(t, "", "-n", ns, "delete", "tbm", "echo", patience)
	none(30*time.Second, "jobs")
	none(30*time.Second, "pods")
	none(30*time.Second, "networkpolicies")
}

func TestNamespaceTakesEverythingAlong(t *testing.T) {
	needCluster(t)
	t.Parallel()
	ns := namespace(t)
	echo(t, ns, `{delayMillis: 1000, deltas: 60}`)
	for range 3 {
		say(t, ns, "x")
	}
	eventually(t, 60*time.Second, func(ctx context.Context) error { _, err := oneRunning(ctx, ns); return err })
	kubectl(t, "", "delete", "namespace", ns, patience)
	for _, resource := range []string{"tbm", "conv", "turns"} {
		if out := kubectl(t, "", "get", resource, "-A", "-o", "custom-columns=N:.metadata.namespace", "--no-headers"); strings.Contains(out, ns) {
			t.Errorf("%s of %s are left", resource, ns)
		}
	}
}
