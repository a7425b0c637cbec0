// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"safebeam.dev/safebeam/apis/internal/check/checktest"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

func code() *v1.Execution {
	return served(&v1.Execution{ObjectMeta: meta("run-1"), Spec: v1.ExecutionSpec{
		Sandbox: "sandbox-1", Code: "print(1)\n", Language: "python", Stdin: "x", WorkingDir: "/workspace/a",
		Env: []v1.EnvVar{{Name: "A", Value: "b"}},
	}})
}

func argv() *v1.Execution {
	return served(&v1.Execution{ObjectMeta: meta("run-2"), Spec: v1.ExecutionSpec{
		Sandbox: "sandbox-1", Command: []string{"printf", "%s\n", "a\nb", "", "$(reboot)"},
	}})
}

func TestExecutionRefuses(t *testing.T) {
	t.Parallel()
	type exe = *v1.Execution
	checktest.Refuses(t, code, Execution,
		checktest.By("no sandbox", func(e exe) { e.Spec.Sandbox = "" }, field.ErrorTypeRequired, "spec.sandbox", "a Sandbox"),
		checktest.By("nothing to run", func(e exe) { e.Spec.Code, e.Spec.Language = "", "" }, field.ErrorTypeRequired, "spec", "either code or command"),
		checktest.By("two things to run", func(e exe) { e.Spec.Command = []string{"true"} }, field.ErrorTypeForbidden, "spec.command", "keep one"),
		checktest.By("a language that is a path", func(e exe) { e.Spec.Language = "../sh" }, field.ErrorTypeInvalid, "spec.language", "python"),
		checktest.By("code with NUL", func(e exe) { e.Spec.Code = "a\x00" }, field.ErrorTypeInvalid, "spec.code", "NUL"),
		checktest.By("too much code", func(e exe) { e.Spec.Code = strings.Repeat("a", 1<<20+1) }, field.ErrorTypeTooLong, "spec.code", "1048576"),
		checktest.By("a relative directory", func(e exe) { e.Spec.WorkingDir = "a" }, field.ErrorTypeInvalid, "spec.workingDir", "absolute"),
		checktest.By("no time", func(e exe) { e.Spec.TimeoutSeconds = ptr.To[int32](0) }, field.ErrorTypeInvalid, "spec.timeoutSeconds", "from 1 to 86400"),
		checktest.By("a time to live that is over", func(e exe) { e.Spec.TTLSecondsAfterFinished = ptr.To[int32](-1) }, field.ErrorTypeInvalid, "spec.ttlSecondsAfterFinished", "from 0"),
		checktest.By("a variable with a dash and a space", func(e exe) { e.Spec.Env[0].Name = "- " }, field.ErrorTypeInvalid, "spec.env[0].name", ""),
	)
	checktest.Refuses(t, argv, Execution,
		checktest.By("a command without program", func(e exe) { e.Spec.Command[0] = "" }, field.ErrorTypeRequired, "spec.command[0]", "program to run"),
		checktest.By("an argument with NUL", func(e exe) { e.Spec.Command[1] = "a\x00b" }, field.ErrorTypeInvalid, "spec.command[1]", "NUL"),
		checktest.By("the language of a command", func(e exe) { e.Spec.Language = "python" }, field.ErrorTypeForbidden, "spec.language", "as it is"),
	)
	checktest.Refuses(t, code, func(e *v1.Execution) field.ErrorList { return ExecutionUpdate(e, code()) },
		checktest.By("other code later", func(e exe) { e.Spec.Code = "print(2)" }, field.ErrorTypeForbidden, "spec.code", "create another"),
	)
}

func TestExecutionRunsAtMostOnce(t *testing.T) {
	t.Parallel()
	running := func() *v1.Execution {
		e := code()
		e.Status = v1.ExecutionStatus{Phase: v1.ExecutionRunning, SandboxUID: "uid"}
		return e
	}
	type exe = *v1.Execution
	checktest.Refuses(t, running, func(e *v1.Execution) field.ErrorList { return ExecutionStatusUpdate(e, running()) },
		checktest.By("to wait again", func(e exe) { e.Status.Phase = v1.ExecutionQueued }, field.ErrorTypeForbidden, "status.phase", "at most once"),
		checktest.By("another sandbox", func(e exe) { e.Status.SandboxUID = "other" }, field.ErrorTypeInvalid, "status.sandboxUID", "immutable"),
		checktest.By("an end without its time", func(e exe) { e.Status.Phase = v1.ExecutionLost }, field.ErrorTypeRequired, "status.completionTime", "since when"),
		checktest.By("a tail of all there is", func(e exe) { e.Status.Stdout = &v1.ExecutionOutput{Head: "a", Tail: "b", TotalBytes: 2} }, field.ErrorTypeForbidden, "status.stdout.tail", "in head"),
	)
	over := func() *v1.Execution {
		e := running()
		e.Status.Phase, e.Status.CompletionTime = v1.ExecutionTimedOut, ptr.To(metav1.NewMicroTime(metav1.Unix(1, 0).Time))
		return e
	}
	checktest.Refuses(t, over, func(e *v1.Execution) field.ErrorList { return ExecutionStatusUpdate(e, over()) },
		checktest.By("another end", func(e exe) { e.Status.Phase = v1.ExecutionSucceeded }, field.ErrorTypeForbidden, "status.phase", "is TimedOut"),
	)
}
