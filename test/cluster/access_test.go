// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"strings"
	"testing"
	"time"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

func TestServerAndControllerCanReadNoSecret(t *testing.T) {
	needCluster(t)
	t.Parallel()
	for _, user := range []string{"safebeam-apiserver", "safebeam-controller"} {
		for _, verb := range []string{"get", "list", "watch", "create", "update", "patch", "delete"} {
			for _, ns := range []string{"default", "kube-system", system} {
				out, err := tryKubectl(t.Context(), "", "auth", "can-i", verb, "secrets", "-n", ns, "--as=system:serviceaccount:"+system+":"+user)
				if err == nil || !strings.Contains(out, "no") {
					t.Errorf("%s may %s secrets in %s: %s", user, verb, ns, out)
				}
			}
		}
	}
	// The check can say yes, too.
	if out, err := tryKubectl(t.Context(), "", "auth", "can-i", "list", "pods", "--as="+controller); err != nil {
		t.Errorf("the controller may not list pods: %s", out)
	}
}

func TestUseDecidesWhoSpeaksWhere(t *testing.T) {
	needCluster(t)
	t.Parallel()
	ns := namespace(t)
	echo(t, ns, `{delayMillis: 500, deltas: 60}`)
	apply(t, ns, `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: creator}
rules:
- {apiGroups: [tightbeam.dev], resources: [turns], verbs: [create, get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: creator}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: creator}
subjects: [{kind: User, name: jane, apiGroup: rbac.authorization.k8s.io}]
`)
	const turn = `
apiVersion: tightbeam.dev/v1
kind: Turn
metadata: {name: janes}
spec: {conversation: c, messages: [{role: user, content: [{text: hi}]}]}
`
	refused(t, `needs the verb "use" on conversations.tightbeam.dev "c"`, turn, "-n", ns, "--as=jane", "create", "-f", "-")
	apply(t, ns, `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: speaker}
rules:
- {apiGroups: [tightbeam.dev], resources: [conversations], resourceNames: [c], verbs: [use]}
- {apiGroups: [tightbeam.dev], resources: [tightbeammodels], resourceNames: [echo], verbs: [use]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: speaker}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: speaker}
subjects: [{kind: User, name: jane, apiGroup: rbac.authorization.k8s.io}]
`)
	// A refusal is remembered for ten seconds.
	eventually(t, 30*time.Second, func(ctx context.Context) error {
		_, err := tryKubectl(ctx, turn, "-n", ns, "--as=jane", "create", "-f", "-")
		return err
	})
	path := "/apis/tightbeam.dev/v1/namespaces/" + ns + "/turns/janes/cancel"
	refused(t, "cannot create resource \"turns/cancel\"", "{}", "--as=jane", "create", "--raw", path, "-f", "-")
	if out, err := tryKubectl(t.Context(), "", "-n", ns, "--as=jane", "auth", "can-i", "create", "turns.tightbeam.dev", "--subresource=cancel"); err == nil {
		t.Errorf("can-i: %s", out)
	}
	kubectl(t, "", "-n", ns, "auth", "can-i", "create", "turns.tightbeam.dev", "--subresource=cancel")
	kubectl(t, "{}", "create", "--raw", path, "-f", "-")

	other := closedNamespace(t)
	refused(t, "Forbidden", "", "-n", other, "--as=jane", "get", "turns")
	refused(t, "Forbidden", turn, "-n", other, "--as=jane", "create", "-f", "-")
	refused(t, "Forbidden", "", "--as=jane", "get", "turns", "-A")
}

func TestDefaultRolesGrantWhatTheirNamesSay(t *testing.T) {
	needCluster(t)
	t.Parallel()
	ns := namespace(t)
	for _, role := range []string{"view", "edit", "admin"} {
		kubectl(t, "", "-n", ns, "create", "rolebinding", role, "--clusterrole="+role, "--user="+role+"er")
	}
	for _, c := range []struct {
		user, verb, resource string
		may                  bool
	}{
		{"viewer", "get", "turns.tightbeam.dev", true},
		{"viewer", "get", "conversations.tightbeam.dev/log", true},
		{"viewer", "create", "turns.tightbeam.dev", false},
		{"editer", "create", "turns.tightbeam.dev", true},
		{"editer", "use", "tightbeammodels.tightbeam.dev", true},
		{"editer", "create", "tightbeammodels.tightbeam.dev", false},
		{"editer", "update", "turns.tightbeam.dev/status", false},
		{"adminer", "create", "tightbeammodels.tightbeam.dev", true},
		{"adminer", "update", "tightbeammodels.tightbeam.dev/pods", false},
		{"adminer", "update", "tightbeammodels.tightbeam.dev/status", false},
	} {
		resource, subresource, _ := strings.Cut(c.resource, "/")
		out, err := tryKubectl(t.Context(), "", "-n", ns, "auth", "can-i", c.verb, resource, "--subresource="+subresource, "--as="+c.user)
		if (err == nil) != c.may {
			t.Errorf("%s %s %s: %s", c.user, c.verb, c.resource, out)
		}
	}
}

// A controller that was taken over can run our image on its own terms and
// nothing else.
func TestPolicyHoldsTheControllerToItsJobs(t *testing.T) {
	needCluster(t)
	t.Parallel()
	ns := namespace(t)
	echo(t, ns, `{}`)
	ended(t, say(t, ns, "x"), tightbeamv1.TurnSucceeded, 60*time.Second)
	uid := kubectl(t, "", "-n", ns, "get", "tbm", "echo", "-o", "jsonpath={.metadata.uid}")
	jobOf := func(change ...string) string {
		manifest := strings.ReplaceAll(plainJob, "UID", uid)
		return strings.NewReplacer(change...).Replace(manifest)
	}
	create := []string{"-n", ns, "--as=" + controller, "create", "--dry-run=server", "-f", "-"}
	kubectl(t, jobOf(), create...)
	for name, c := range map[string]struct{ want, job string }{
		"another image":      {"the image is none", jobOf("localhost/safebeam-llm-job:dev", "localhost/fakeprovider:dev")},
		"a command":          {"the image is run as it is", jobOf("args:", "command: [/safebeam-llm-job]\n        args:")},
		"another gateway":    {"the environment names the gateway", jobOf("safebeam-gateway.safebeam-system.svc:7444", "evil.example.com:443")},
		"two Secrets":        {"one Secret", jobOf("volumes:", "volumes:\n      - {name: more, secret: {secretName: a}}\n      - {name: evenmore, secret: {secretName: b}}")},
		"a host path":        {"nothing else", jobOf("volumes:", "volumes:\n      - {name: host, hostPath: {path: /etc}}")},
		"a cluster token":    {"no token of the cluster", jobOf("automountServiceAccountToken: false", "automountServiceAccountToken: true")},
		"another audience":   {"nothing else", jobOf("llm-job.gateway.safebeam.dev", "https://kubernetes.default.svc")},
		"no owner":           {"belongs to one TightbeamModel", jobOf("kind: TightbeamModel", "kind: Conversation")},
		"a lost label":       {"labels that the NetworkPolicy", jobOf("{tightbeam.dev/type: llm, tightbeam.dev/model: echo}", "{tightbeam.dev/type: free}")},
		"a second container": {"one container", jobOf("containers:", "containers:\n      - {name: more, image: localhost/safebeam-llm-job:dev}")},
	} {
		t.Run(name, func(t *testing.T) { refused(t, c.want, c.job, create...) })
	}
	refused(t, "cannot create resource \"pods\"", "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, image: a}]}\n", create...)
}

// The same for the pods of sandboxes, in a namespace that is open to those.
func TestPolicyKeepsSecretsOutOfPodsOfTheController(t *testing.T) {
	needCluster(t)
	t.Parallel()
	ns := closedNamespace(t)
	kubectl(t, "", "-n", ns, "create", "rolebinding", "safebeam-sandboxes", "--clusterrole=safebeam-sandboxes", "--serviceaccount="+system+":safebeam-controller")
	kubectl(t, "", "-n", ns, "create", "secret", "generic", "key", "--from-literal=api-key=k")
	create := []string{"-n", ns, "--as=" + controller, "create", "--dry-run=server", "-f", "-"}
	const pod = `
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {llmsafespace.dev/type: sandbox}}
spec:
  automountServiceAccountToken: false
  securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
  containers: [{name: a, image: localhost/probe:dev, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]
`
	const denied = "'safebeam-controller-sandboxes' denied request"
	refused(t, denied, pod, create...)
	refused(t, denied, pod+"  volumes: [{name: s, secret: {secretName: key}}]\n", create...)
	owned := strings.Replace(pod, "name: p,", "name: p, ownerReferences: [{apiVersion: llmsafespace.dev/v1, kind: Sandbox, name: s, uid: u}],", 1)
	refused(t, denied, owned+"  volumes: [{name: s, secret: {secretName: key}}]\n", create...)
	// Whom the policy is not on may.
	kubectl(t, pod, "-n", ns, "create", "--dry-run=server", "-f", "-")
}

const plainJob = `
apiVersion: batch/v1
kind: Job
metadata:
  name: by-hand
  ownerReferences: [{apiVersion: tightbeam.dev/v1, kind: TightbeamModel, name: echo, uid: UID, controller: true}]
spec:
  template:
    metadata:
      labels: {tightbeam.dev/type: llm, tightbeam.dev/model: echo}
    spec:
      restartPolicy: Never
      automountServiceAccountToken: false
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: llm
        image: localhost/safebeam-llm-job:dev
        args: [--idle-timeout=5s]
        env:
        - {name: TIGHTBEAM_CONTROLLER_ADDR, value: "safebeam-gateway.safebeam-system.svc:7444"}
        securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
      volumes:
      - name: gateway
        projected: {sources: [{serviceAccountToken: {audience: llm-job.gateway.safebeam.dev, path: token}}]}
`
