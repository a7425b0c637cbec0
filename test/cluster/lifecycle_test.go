// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// seedCRDs are CustomResourceDefinitions of our groups' names, as the seed has
// them: loose.
const seedCRDs = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: tightbeammodels.tightbeam.dev}
spec:
  group: tightbeam.dev
  scope: Namespaced
  names: {plural: tightbeammodels, singular: tightbeammodel, kind: TightbeamModel, shortNames: [tbm]}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: tightbeamchannels.tightbeam.dev}
spec:
  group: tightbeam.dev
  scope: Namespaced
  names: {plural: tightbeamchannels, singular: tightbeamchannel, kind: TightbeamChannel, shortNames: [tbc]}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
`

// The steps of docs/install.md: uninstalling leaves nothing and holds no
// namespace up, and a cluster with the seed's CRDs is moved over.
func TestUninstallAndMovingOverFromCRDs(t *testing.T) {
	needCluster(t)
	if !local {
		t.Skip("uninstalls Safebeam, with all that it holds: on hack/cluster only")
	}
	deploy := filepath.Join(root, "artifacts/deploy")
	ns := namespace(t)
	echo(t, ns, `{}`)
	say(t, ns, "x")

	kubectl(t, "", "delete", "tightbeammodels,tightbeamchannels,conversations,warmpools,sandboxes", "--all", "-A", patience)
	kubectl(t, "", append([]string{"delete", "apiservice"}, apiServices...)...)
	kubectl(t, "", "delete", "-k", deploy, "--ignore-not-found", patience)
	kubectl(t, "", "delete", "namespace", ns, patience)
	for _, kind := range []string{"clusterroles", "clusterrolebindings", "validatingadmissionpolicies", "validatingadmissionpolicybindings", "apiservices", "namespaces"} {
		for _, line := range strings.Split(kubectl(t, "", "get", kind, "-o", "name"), "\n") {
			if strings.Contains(line, "safebeam") || strings.Contains(line, "tightbeam") || strings.Contains(line, "llmsafespace") {
				t.Errorf("left behind: %s", line)
			}
		}
	}

	kubectl(t, seedCRDs, "apply", "-f", "-")
	kubectl(t, "", "wait", "--for=condition=Established", patience, "crd/tightbeammodels.tightbeam.dev", "crd/tightbeamchannels.tightbeam.dev")
	ns = closedNamespace(t)
	manifest, err := os.ReadFile(filepath.Join(root, "artifacts/examples/tightbeammodel.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	kubectl(t, strings.ReplaceAll(string(manifest), "workspace-my-ws", ns), "apply", "-f", "-")

	saved := kubectl(t, "", "get", "tightbeammodels.tightbeam.dev,tightbeamchannels.tightbeam.dev", "-A", "-o", "yaml")
	kubectl(t, "", "delete", "crd", "tightbeammodels.tightbeam.dev", "tightbeamchannels.tightbeam.dev", patience)
	eventually(t, 60*time.Second, func(ctx context.Context) error {
		_, err := tryKubectl(ctx, "", "wait", "--for=delete", "apiservice", "v1.tightbeam.dev", "--timeout=10s")
		return err
	})
	kubectl(t, "", "apply", "-k", deploy)
	kubectl(t, "", append([]string{"wait", "--for=condition=Available", patience, "apiservice"}, apiServices...)...)
	kubectl(t, saved, "apply", "-f", "-")
	model, err := own.TightbeamV1().TightbeamModels(ns).Get(t.Context(), "claude-sonnet", metav1.GetOptions{})
	if err != nil || model.Spec.SecretName != "llm-anthropic-key" {
		t.Errorf("%+v, %v", model, err)
	}
	for _, deployment := range []string{"safebeam-apiserver", "safebeam-controller"} {
		kubectl(t, "", "-n", system, "rollout", "status", patience, "deployment", deployment)
	}
	// They are gone, and other tests have applied them before.
	if err := applyRuntimes(); err != nil {
		t.Fatal(err)
	}
}
