// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"safebeam.dev/safebeam/apis/internal/check/checktest"
	v1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

func claude() *v1.TightbeamModel {
	return served(&v1.TightbeamModel{
		ObjectMeta: meta("claude-sonnet-4.5"),
		Spec: v1.TightbeamModelSpec{
			Provider:   v1.ProviderAnthropic,
			Model:      "claude-sonnet-4-5",
			SecretName: "llm-anthropic-key",
			Image:      "registry.example:5000/tightbeam/llm-job:v1@sha256:" + strings.Repeat("0a", 32),
			BaseURL:    "https://gateway.example/anthropic",
			Thinking:   &v1.Thinking{BudgetTokens: ptr.To[int32](4096)},
			Parameters: raw(`{"metadata": {"user_id": "u1"}}`),
			Fallbacks:  []v1.ModelFallback{{Name: "gpt"}},
			Egress: []networkingv1.NetworkPolicyEgressRule{{
				Ports: []networkingv1.NetworkPolicyPort{{Port: ptr.To(intstr.FromInt32(8000)), EndPort: ptr.To[int32](8010)}},
				To: []networkingv1.NetworkPolicyPeer{
					{IPBlock: &networkingv1.IPBlock{CIDR: "10.0.0.0/8", Except: []string{"10.1.0.0/16"}}},
					{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "vllm"}}},
				},
			}},
		},
	})
}

func TestModelRefuses(t *testing.T) {
	t.Parallel()
	checktest.Refuses(t, claude, Model,
		checktest.By("no name", func(m *v1.TightbeamModel) { m.Name = "" }, field.ErrorTypeRequired, "metadata.name", "name or generateName"),
		checktest.By("a name that is no DNS name", func(m *v1.TightbeamModel) { m.Name = "Claude!" }, field.ErrorTypeInvalid, "metadata.name", "lowercase"),
		checktest.By("a name that fits no label", func(m *v1.TightbeamModel) { m.Name = strings.Repeat("a", 64) }, field.ErrorTypeInvalid, "metadata.name", "63"),
		checktest.By("no provider", func(m *v1.TightbeamModel) { m.Spec.Provider = "" }, field.ErrorTypeRequired, "spec.provider", `"anthropic", "openai", "gemini", "echo"`),
		checktest.By("an unknown provider", func(m *v1.TightbeamModel) { m.Spec.Provider = "Anthropic" }, field.ErrorTypeNotSupported, "spec.provider", `"anthropic", "openai", "gemini", "echo"`),
		checktest.By("no model", func(m *v1.TightbeamModel) { m.Spec.Model = "" }, field.ErrorTypeRequired, "spec.model", "provider's id"),
		checktest.By("a model with a space", func(m *v1.TightbeamModel) { m.Spec.Model = "claude sonnet" }, field.ErrorTypeInvalid, "spec.model", "spaces"),
		checktest.By("a model with a newline", func(m *v1.TightbeamModel) { m.Spec.Model = "claude\n" }, field.ErrorTypeInvalid, "spec.model", "byte 6"),
		checktest.By("a description that is too long", func(m *v1.TightbeamModel) { m.Spec.Description = strings.Repeat("a", 4097) }, field.ErrorTypeTooLong, "spec.description", "4096"),
		checktest.By("a description that is no text", func(m *v1.TightbeamModel) { m.Spec.Description = "\xff" }, field.ErrorTypeInvalid, "spec.description", "UTF-8"),
		checktest.By("no tokens at all", func(m *v1.TightbeamModel) { m.Spec.MaxTokens = ptr.To[int32](0); m.Spec.Thinking = nil }, field.ErrorTypeInvalid, "spec.maxTokens", "from 1"),
		checktest.By("no Secret", func(m *v1.TightbeamModel) { m.Spec.SecretName = "" }, field.ErrorTypeRequired, "spec.secretName", "api-key"),
		checktest.By("a Secret outside of its directory", func(m *v1.TightbeamModel) { m.Spec.SecretName = "../etc" }, field.ErrorTypeInvalid, "spec.secretName", "lowercase"),
		checktest.By("an image with a space", func(m *v1.TightbeamModel) { m.Spec.Image = "a b" }, field.ErrorTypeInvalid, "spec.image", "image reference"),
		checktest.By("an idle timeout of nothing", func(m *v1.TightbeamModel) { m.Spec.IdleTimeout = ptr.To[int32](0) }, field.ErrorTypeInvalid, "spec.idleTimeout", "from 1 to 86400"),
		checktest.By("a base URL without host", func(m *v1.TightbeamModel) { m.Spec.BaseURL = "llm.example/v1" }, field.ErrorTypeInvalid, "spec.baseURL", "https://llm.example/v1"),
		checktest.By("a base URL that is a file", func(m *v1.TightbeamModel) { m.Spec.BaseURL = "file://host/etc/passwd" }, field.ErrorTypeNotSupported, "spec.baseURL", `"https", "http"`),
		checktest.By("a password in the base URL", func(m *v1.TightbeamModel) { m.Spec.BaseURL = "https://me:secret@llm.example" }, field.ErrorTypeInvalid, "spec.baseURL", "belong in the Secret"),
		checktest.By("a key in the base URL's query", func(m *v1.TightbeamModel) { m.Spec.BaseURL = "https://llm.example/v1?key=secret" }, field.ErrorTypeInvalid, "spec.baseURL", "belong in the Secret"),
		checktest.By("a wire format of another provider", func(m *v1.TightbeamModel) { m.Spec.WireFormat = v1.WireFormatChat }, field.ErrorTypeForbidden, "spec.wireFormat", "openai only"),
		checktest.By("thinking without a measure", func(m *v1.TightbeamModel) { m.Spec.Thinking = &v1.Thinking{} }, field.ErrorTypeRequired, "spec.thinking", "budgetTokens or effort"),
		checktest.By("thinking with two measures", func(m *v1.TightbeamModel) { m.Spec.Thinking.Effort = "low" }, field.ErrorTypeForbidden, "spec.thinking", "keep one"),
		checktest.By("thinking up to maxTokens", func(m *v1.TightbeamModel) { m.Spec.Thinking.BudgetTokens = ptr.To[int32](8192) }, field.ErrorTypeInvalid, "spec.thinking.budgetTokens", "below maxTokens"),
		checktest.By("parameters that are a list", func(m *v1.TightbeamModel) { m.Spec.Parameters = raw(`[]`) }, field.ErrorTypeInvalid, "spec.parameters", "JSON object"),
		checktest.By("parameters that are too long", func(m *v1.TightbeamModel) { m.Spec.Parameters = raw(`{"a":"` + strings.Repeat("a", 65<<10) + `"}`) }, field.ErrorTypeTooLong, "spec.parameters", "65536"),
		checktest.By("parameters that set the model", func(m *v1.TightbeamModel) { m.Spec.Parameters = raw(`{"model": "opus"}`) }, field.ErrorTypeForbidden, "spec.parameters.model", "leave it out"),
		checktest.By("parameters that stop the stream", func(m *v1.TightbeamModel) { m.Spec.Parameters = raw(`{"stream": false}`) }, field.ErrorTypeForbidden, "spec.parameters.stream", "leave it out"),
		checktest.By("parameters that hide in an escape", func(m *v1.TightbeamModel) { m.Spec.Parameters = raw(`{"t\u006fols": []}`) }, field.ErrorTypeForbidden, "spec.parameters.tools", "leave it out"),
		checktest.By("fewer than no jobs", func(m *v1.TightbeamModel) { m.Spec.Jobs.Min = ptr.To[int32](-1) }, field.ErrorTypeInvalid, "spec.jobs.min", "from 0"),
		checktest.By("no job at most", func(m *v1.TightbeamModel) { m.Spec.Jobs.Max = ptr.To[int32](0) }, field.ErrorTypeInvalid, "spec.jobs.max", "from 1"),
		checktest.By("more jobs at least than at most", func(m *v1.TightbeamModel) { m.Spec.Jobs.Min = ptr.To[int32](2) }, field.ErrorTypeInvalid, "spec.jobs.min", "above max"),
		checktest.By("jobs that run nothing", func(m *v1.TightbeamModel) { m.Spec.Jobs.TurnsPerJob = ptr.To[int32](0) }, field.ErrorTypeInvalid, "spec.jobs.turnsPerJob", "from 1"),
		checktest.By("itself as fallback", func(m *v1.TightbeamModel) { m.Spec.Fallbacks[0].Name = m.Name }, field.ErrorTypeInvalid, "spec.fallbacks[0].name", "model itself"),
		checktest.By("a fallback twice", func(m *v1.TightbeamModel) { m.Spec.Fallbacks = append(m.Spec.Fallbacks, m.Spec.Fallbacks[0]) }, field.ErrorTypeDuplicate, "spec.fallbacks[1].name", "gpt"),
		checktest.By("a fallback without name", func(m *v1.TightbeamModel) { m.Spec.Fallbacks[0].Name = "" }, field.ErrorTypeRequired, "spec.fallbacks[0].name", "another TightbeamModel"),
		checktest.By("no attempt", func(m *v1.TightbeamModel) { m.Spec.Retry.MaxAttempts = ptr.To[int32](0) }, field.ErrorTypeInvalid, "spec.retry.maxAttempts", "from 1 to 10"),
		checktest.By("a backoff beyond its end", func(m *v1.TightbeamModel) { m.Spec.Retry.BackoffSeconds = ptr.To[int32](61) }, field.ErrorTypeInvalid, "spec.retry.backoffSeconds", "from 0 to 60"),
		checktest.By("egress to port 0", func(m *v1.TightbeamModel) { m.Spec.Egress[0].Ports[0].Port = ptr.To(intstr.FromInt32(0)) }, field.ErrorTypeInvalid, "spec.egress[0].ports[0].port", "from 1 to 65535"),
		checktest.By("egress to ports that run backwards", func(m *v1.TightbeamModel) { m.Spec.Egress[0].Ports[0].EndPort = ptr.To[int32](80) }, field.ErrorTypeInvalid, "spec.egress[0].ports[0].endPort", "below port"),
		checktest.By("egress to no address", func(m *v1.TightbeamModel) {
			m.Spec.Egress[0].To[0].IPBlock.CIDR = "everywhere"
			m.Spec.Egress[0].To[0].IPBlock.Except = nil
		}, field.ErrorTypeInvalid, "spec.egress[0].to[0].ipBlock.cidr", "192.0.2.0/24"),
		checktest.By("egress to an address with host bits", func(m *v1.TightbeamModel) { m.Spec.Egress[0].To[0].IPBlock.CIDR = "10.0.0.1/8" }, field.ErrorTypeInvalid, "spec.egress[0].to[0].ipBlock.cidr", "write 10.0.0.0/8"),
		checktest.By("egress with a hole elsewhere", func(m *v1.TightbeamModel) { m.Spec.Egress[0].To[0].IPBlock.Except[0] = "192.168.0.0/16" }, field.ErrorTypeInvalid, "spec.egress[0].to[0].ipBlock.except[0]", "inside of cidr"),
		checktest.By("egress to nobody", func(m *v1.TightbeamModel) { m.Spec.Egress[0].To[1].PodSelector = nil }, field.ErrorTypeRequired, "spec.egress[0].to[1]", "either ipBlock"),
	)
}

func TestModelOfEcho(t *testing.T) {
	t.Parallel()
	echo := func() *v1.TightbeamModel {
		return served(&v1.TightbeamModel{ObjectMeta: meta("echo"), Spec: v1.TightbeamModelSpec{Provider: v1.ProviderEcho, Model: "echo"}})
	}
	checktest.Refuses(t, echo, Model,
		checktest.By("needs no Secret", func(m *v1.TightbeamModel) { m.Spec.SecretName = "key" }, field.ErrorTypeForbidden, "spec.secretName", "leave it out"),
		checktest.By("calls nobody", func(m *v1.TightbeamModel) { m.Spec.BaseURL = "https://llm.example" }, field.ErrorTypeForbidden, "spec.baseURL", "leave it out"),
	)
}

func TestModelOfOpenAI(t *testing.T) {
	t.Parallel()
	gpt := func() *v1.TightbeamModel {
		return served(&v1.TightbeamModel{ObjectMeta: meta("gpt"), Spec: v1.TightbeamModelSpec{
			Provider: v1.ProviderOpenAI, Model: "gpt", SecretName: "key", Thinking: &v1.Thinking{Effort: "low"},
		}})
	}
	checktest.Refuses(t, gpt, Model,
		checktest.By("speaks known formats", func(m *v1.TightbeamModel) { m.Spec.WireFormat = "completions" }, field.ErrorTypeNotSupported, "spec.wireFormat", `"responses", "chat"`),
		checktest.By("knows no budget", func(m *v1.TightbeamModel) { m.Spec.Thinking = &v1.Thinking{BudgetTokens: ptr.To[int32](10)} }, field.ErrorTypeForbidden, "spec.thinking.budgetTokens", "use effort"),
		checktest.By("takes its input from the server", func(m *v1.TightbeamModel) { m.Spec.Parameters = raw(`{"input": "x"}`) }, field.ErrorTypeForbidden, "spec.parameters.input", "leave it out"),
	)
}

func TestErrorsDoNotRepeatCredentials(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"https://me:s3cret@llm.example", "https://llm.example/?key=s3cret", "://s3cret"} {
		model := claude()
		model.Spec.BaseURL = secret
		if errs := Model(model); len(errs) != 1 || strings.Contains(errs.ToAggregate().Error(), "s3cret") {
			t.Errorf("%s: %v", secret, errs)
		}
	}
}

func TestModelStatusUpdateRefuses(t *testing.T) {
	t.Parallel()
	stored := func() *v1.TightbeamModel { m := claude(); m.ResourceVersion = "7"; return m }
	checktest.Refuses(t, stored, func(m *v1.TightbeamModel) field.ErrorList { return ModelStatusUpdate(m, stored()) },
		checktest.By("fewer than no jobs", func(m *v1.TightbeamModel) { m.Status.ConnectedJobs = -1 }, field.ErrorTypeInvalid, "status.connectedJobs", "negative"),
		checktest.By("fewer than no queued turns", func(m *v1.TightbeamModel) { m.Status.QueuedTurns = -1 }, field.ErrorTypeInvalid, "status.queuedTurns", "negative"),
		checktest.By("fewer than no running turns", func(m *v1.TightbeamModel) { m.Status.RunningTurns = -1 }, field.ErrorTypeInvalid, "status.runningTurns", "negative"),
		checktest.By("tokens given back", func(m *v1.TightbeamModel) { m.Status.Usage = &v1.Usage{OutputTokens: -1} }, field.ErrorTypeInvalid, "status.usage.outputTokens", "negative"),
		checktest.By("a condition without reason", func(m *v1.TightbeamModel) {
			m.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "True", LastTransitionTime: metav1.Now()}}
		}, field.ErrorTypeRequired, "status.conditions[0].reason", ""),
	)
}
