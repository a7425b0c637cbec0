// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"testing"
	"time"
)

// Naming a Secret in a model is using it: who may not read it may not do that,
// neither at first nor by a change.
func TestNamingASecretNeedsTheRightToReadIt(t *testing.T) {
	needCluster(t)
	t.Parallel()
	ns := namespace(t)
	kubectl(t, "", "-n", ns, "create", "secret", "generic", "key", "--from-literal=provider=anthropic", "--from-literal=model=m", "--from-literal=api-key=k")
	apply(t, ns, `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: modeller}
rules:
- {apiGroups: [tightbeam.dev], resources: [tightbeammodels], verbs: [create, get, update, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: modeller}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: modeller}
subjects: [{kind: User, name: mallory, apiGroup: rbac.authorization.k8s.io}]
`)
	const mine = "apiVersion: tightbeam.dev/v1\nkind: TightbeamModel\nmetadata: {name: m}\nspec: {provider: anthropic, model: m, secretName: key}\n"
	const needs = `needs the verb "get" on secrets "key"`
	refused(t, needs, mine, "-n", ns, "--as=mallory", "create", "-f", "-")
	// Somebody else's model that has it is not to be led elsewhere either.
	kubectl(t, mine, "-n", ns, "create", "-f", "-")
	refused(t, needs, "", "-n", ns, "--as=mallory", "patch", "tbm", "m", "--type=merge", "-p", `{"spec":{"baseURL":"https://mallory.example.com"}}`)
	const led = "apiVersion: tightbeam.dev/v1\nkind: TightbeamModel\nmetadata: {name: m}\nspec: {provider: anthropic, model: m, secretName: key, baseURL: https://mallory.example.com}\n"
	refused(t, needs, led, "-n", ns, "--as=mallory", "apply", "--server-side", "--force-conflicts", "-f", "-")
	// What is no part of the spec is no use of the key.
	kubectl(t, "", "-n", ns, "--as=mallory", "label", "tbm", "m", "team=mallory")

	kubectl(t, "", "-n", ns, "create", "role", "reader", "--verb=get", "--resource=secrets", "--resource-name=key")
	kubectl(t, "", "-n", ns, "create", "rolebinding", "reader", "--role=reader", "--user=mallory")
	eventually(t, 30*time.Second, func(ctx context.Context) error { // a refusal is remembered for ten seconds
		_, err := tryKubectl(ctx, "", "-n", ns, "--as=mallory", "patch", "tbm", "m", "--type=merge", "-p", `{"spec":{"description":"now mine"}}`)
		return err
	})
}
