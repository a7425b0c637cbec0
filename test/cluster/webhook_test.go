// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/cert"
)

// The cluster's admission webhooks are asked about our types as about all
// others: kube-apiserver leaves that to the server that owns them.
func TestAdmissionWebhooksOfTheClusterHold(t *testing.T) {
	needCluster(t)
	t.Parallel()
	ns := namespace(t)
	certificate, key, err := cert.GenerateSelfSignedCertKey("webhook."+ns+".svc", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kube.CoreV1().Secrets(ns).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "webhook"}, Data: map[string][]byte{"tls.crt": certificate, "tls.key": key},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	apply(t, ns, "apiVersion: v1\nkind: Service\nmetadata: {name: webhook}\nspec: {selector: {app: webhook}, ports: [{port: 443, targetPort: 8443}]}\n")
	probe(t, ns, "webhook", func(pod *corev1.Pod) {
		pod.Spec.Volumes = []corev1.Volume{{Name: "tls", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "webhook"}}}}
		pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "tls", MountPath: "/tls"}}
	}, "webhook", "/tls")

	configuration := func(kind, path, resource string) string {
		return fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: %[1]sWebhookConfiguration
metadata: {name: %[2]s}
webhooks:
- name: %[3]s.e2e.safebeam.dev
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[2]s}}
  rules: [{apiGroups: [tightbeam.dev], apiVersions: ["*"], operations: [CREATE], resources: [%[5]s]}]
  clientConfig: {service: {namespace: %[2]s, name: webhook, path: /%[3]s}, caBundle: %[4]s}
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Fail
  timeoutSeconds: 5
---
`, kind, ns, path, base64.StdEncoding.EncodeToString(certificate), resource)
	}
	webhooks := configuration("Validating", "validate", "conversations") + configuration("Mutating", "mutate", "conversations")
	apply(t, ns, webhooks)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if out, err := tryKubectl(ctx, webhooks, "delete", "-f", "-"); err != nil {
			t.Error(out)
		}
	})

	conversation := func(name, label string) string {
		return "apiVersion: tightbeam.dev/v1\nkind: Conversation\nmetadata: {name: " + name + ", labels: {e2e: " + label + "}}\nspec: {model: echo}\n"
	}
	// The server learns of a webhook by its watch.
	n := 0
	eventually(t, 30*time.Second, func(ctx context.Context) error {
		n++
		out, err := tryKubectl(ctx, conversation(fmt.Sprintf("bad%d", n), "refuse"), "-n", ns, "create", "-f", "-")
		if want := fmt.Sprintf("the webhook refuses bad%d", n); err == nil || !strings.Contains(out, want) {
			return fmt.Errorf("not refused: %s", out)
		}
		return nil
	})
	kubectl(t, conversation("good", "keep"), "-n", ns, "create", "-f", "-")
	if got := kubectl(t, "", "-n", ns, "get", "conversation", "good", "-o", "jsonpath={.metadata.annotations.e2e}"); got != "was-here" {
		t.Errorf("the mutating webhook left %q", got)
	}
	// A webhook that is not there is a refusal where it says Fail, and not a
	// write that nobody looked at.
	kubectl(t, "", "-n", ns, "delete", "pod", "webhook")
	eventually(t, 60*time.Second, func(ctx context.Context) error { // the object goes before the process
		n++
		out, err := tryKubectl(ctx, conversation(fmt.Sprintf("late%d", n), "keep"), "-n", ns, "create", "-f", "-")
		if err == nil || !strings.Contains(out, "failed calling webhook") {
			return fmt.Errorf("not refused: %s", out)
		}
		return nil
	})
}
