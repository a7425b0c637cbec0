// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// ready waits until the condition Ready of a model has the reason.
func ready(t *testing.T, namespace, model, reason, message string, within time.Duration) {
	t.Helper()
	eventually(t, within, func(ctx context.Context) error {
		m, err := own.TightbeamV1().TightbeamModels(namespace).Get(ctx, model, metav1.GetOptions{})
		if err != nil {
			return err
		}
		condition := meta.FindStatusCondition(m.Status.Conditions, "Ready")
		if condition == nil || condition.Reason != reason || !strings.Contains(condition.Message, message) {
			return fmt.Errorf("want reason %s with %q, have %+v", reason, message, condition)
		}
		return nil
	})
}

func TestModelSaysWhyItsJobsDoNotRun(t *testing.T) {
	needCluster(t)
	t.Parallel()
	ns := namespace(t)
	manifest := func(name, more string) string {
		return fmt.Sprintf(`
apiVersion: tightbeam.dev/v1
kind: TightbeamModel
metadata: {name: %s}
spec: {provider: anthropic, model: m, %s, jobs: {min: 1, max: 1}}
`, name, more)
	}
	kubectl(t, "", "-n", ns, "create", "secret", "generic", "broken", "--from-literal=provider=anthropic", "--from-literal=model=m")
	apply(t, ns, manifest("missing", "secretName: nowhere")+"---"+manifest("broken", "secretName: broken")+
		"---"+manifest("image", "secretName: broken, image: example.com/evil:1"))
	ready(t, ns, "image", "ImageNotAllowed", "example.com/evil:1", 15*time.Second)
	ready(t, ns, "broken", "SecretInvalid", `"api-key"`, 30*time.Second)
	ready(t, ns, "missing", "SecretNotFound", "nowhere", 45*time.Second)

	// What was missing comes: it runs, without anybody touching the model.
	kubectl(t, "", "-n", ns, "create", "secret", "generic", "nowhere", "--from-literal=provider=anthropic", "--from-literal=model=m", "--from-literal=api-key=k")
	ready(t, ns, "missing", "Available", "", 90*time.Second)
}

func TestNamespaceThatIsNotOpenSaysHowToOpenIt(t *testing.T) {
	needCluster(t)
	t.Parallel()
	ns := closedNamespace(t)
	echo(t, ns, `{}`)
	turn := say(t, ns, "x")
	ready(t, ns, "echo", "NamespaceNotOpen", "kubectl create rolebinding safebeam-jobs --namespace "+ns, 15*time.Second)
	open(t, ns)
	ended(t, turn, tightbeamv1.TurnSucceeded, 60*time.Second)
}
