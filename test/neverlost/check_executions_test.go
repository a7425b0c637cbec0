// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package neverlost

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/test/harness"
)

// checkExecutions holds what the client wrote down, and how often each execution
// began, against what the server has.
func checkExecutions(t *testing.T, s *harness.Server, r record, ran map[string]int) {
	t.Helper()
	ctx, api := context.Background(), s.Client.LlmsafespaceV1()
	boxes, err := api.Sandboxes(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sandboxes := map[string]*v1.Sandbox{}
	for i := range boxes.Items {
		sandboxes[boxes.Items[i].Name] = &boxes.Items[i]
	}
	list, err := api.Executions(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	executions := map[string]*v1.Execution{}
	ends := map[string]int{}
	for i := range list.Items {
		execution := &list.Items[i]
		executions[execution.Name] = execution
		ends[fmt.Sprintf("%s (%s)", execution.Status.Phase, execution.Status.Reason)]++
		checkExecution(t, execution, sandboxes[execution.Spec.Sandbox], ran[execution.Name])
	}
	events := 0
	for name := range r.acknowledged {
		execution := executions[name]
		if execution == nil {
			t.Errorf("execution %s was acknowledged and is gone", name)
			continue
		}
		checkEvents(t, s, "execution "+name, executionLog(name), execution.Status.LastEvent, r.seen[name])
		if execution.Status.Phase == v1.ExecutionSucceeded {
			checkOutput(t, s, execution)
		}
		events += len(r.seen[name])
	}
	for name := range ran {
		if executions[name] == nil {
			t.Errorf("execution %s ran, and is not there", name)
		}
	}
	t.Logf("%d executions acknowledged in %d sandboxes, %d stored %v, %d began, %d events read",
		len(r.acknowledged), len(sandboxes), len(executions), ends, len(ran), events)
	if ends["Succeeded (Completed)"] == 0 {
		t.Error("none succeeded: the test proves nothing")
	}
}

// checkExecution: it has an end, with the reason for it, which fits how often it
// began.
func checkExecution(t *testing.T, execution *v1.Execution, sandbox *v1.Sandbox, ran int) {
	t.Helper()
	status := &execution.Status
	if ran > 1 {
		t.Errorf("execution %s ran %d times", execution.Name, ran)
	}
	if len(status.Conditions) != 1 || status.CompletionTime == nil {
		t.Errorf("execution %s has the end %+v", execution.Name, status)
	}
	never := func() {
		if ran != 0 {
			t.Errorf("execution %s is %s (%s: %s), and began", execution.Name, status.Phase, status.Reason, status.Message)
		}
	}
	switch end := string(status.Phase) + " " + status.Reason; {
	case end == "Succeeded Completed":
		if ran != 1 {
			t.Errorf("execution %s succeeded and began %d times", execution.Name, ran)
		}
	case status.Phase == v1.ExecutionLost:
		// It went with its sandbox, and says so.
		if sandbox == nil || !sandbox.Status.Phase.Terminal() || status.Reason != sandbox.Status.Reason || status.Message == "" {
			t.Errorf("execution %s was lost (%s: %s) with sandbox %+v", execution.Name, status.Reason, status.Message, sandbox.Status)
		}
		if strings.HasSuffix(status.Message, "it had not started") {
			never()
		}
	case end == "Cancelled Cancelled" && kindOf(execution.Name) == tooLong:
	default:
		t.Errorf("execution %s is %+v", execution.Name, status)
	}
}

// checkOutput: what succeeded has lost nothing that it said.
func checkOutput(t *testing.T, s *harness.Server, execution *v1.Execution) {
	t.Helper()
	if out := execution.Status.Stdout; out == nil || out.Head+out.Tail != said(execution.Name) {
		t.Errorf("execution %s has the output %+v", execution.Name, out)
	}
	body, err := s.GetAPI(executionLog(execution.Name))
	if err != nil {
		t.Error(err)
		return
	}
	var text strings.Builder
	for encoded := range bytes.Lines(body) {
		var event v1.ExecutionEvent
		if err := json.Unmarshal(encoded, &event); err != nil {
			t.Errorf("execution %s: %v in %q", execution.Name, err, encoded)
			return
		}
		text.Write(event.Data())
	}
	if text.String() != said(execution.Name) {
		t.Errorf("execution %s has the log %q", execution.Name, text.String())
	}
}
