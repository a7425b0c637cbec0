// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Provider names an LLM provider's API.
// +enum
type Provider string

const (
	ProviderAnthropic Provider = "anthropic"
	ProviderOpenAI    Provider = "openai"
	ProviderGemini    Provider = "gemini"
	// ProviderEcho answers by itself, without a Secret and without a network.
	ProviderEcho Provider = "echo"
)

// WireFormat names one of the APIs that OpenAI and its compatibles speak.
// +enum
type WireFormat string

const (
	WireFormatResponses WireFormat = "responses"
	WireFormatChat      WireFormat = "chat"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// TightbeamModel declares a model that turns may run on, and the Secret that a
// job needs to call it. The Secret is mounted into that job alone.
type TightbeamModel struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says which model of which provider, and how its jobs run.
	Spec TightbeamModelSpec `json:"spec"`
	// status is what has been observed of the model.
	// +optional
	Status TightbeamModelStatus `json:"status,omitempty"`
}

// TightbeamModelSpec says which model of which provider, and how its jobs run.
type TightbeamModelSpec struct {
	// provider is the API to speak: anthropic, openai, gemini, or echo, which
	// answers by itself and needs no Secret.
	Provider Provider `json:"provider"`
	// model is the provider's model id.
	Model string `json:"model"`
	// description is shown to agents by ListModels.
	// +optional
	Description string `json:"description,omitempty"`
	// maxTokens limits the tokens of one answer. Default 8192.
	// +optional
	// +default=8192
	MaxTokens *int32 `json:"maxTokens,omitempty"`
	// secretName names the Secret of this namespace with the keys provider,
	// model and api-key (and max-tokens), mounted into the job at
	// /run/secrets/llm/. Required, except for the provider echo. Whoever sets
	// it must be allowed to get that Secret.
	// +optional
	SecretName string `json:"secretName,omitempty"`
	// image is the image of the job. Default: the server's --llm-job-image.
	// It must match --allowed-job-images, else no job is launched and the
	// condition Ready says ImageNotAllowed.
	// +optional
	Image string `json:"image,omitempty"`
	// egress is what the job may reach besides the gateway and DNS. Default:
	// TCP port 443 outside private, link-local and cluster ranges.
	// +optional
	// +listType=atomic
	Egress []networkingv1.NetworkPolicyEgressRule `json:"egress,omitempty"`
	// idleTimeout is the time in seconds after which a job without work
	// exits. Default 300.
	// +optional
	// +default=300
	IdleTimeout *int32 `json:"idleTimeout,omitempty"`
	// baseURL is where the provider's API is. Default: the provider's own.
	// +optional
	BaseURL string `json:"baseURL,omitempty"`
	// wireFormat chooses between the APIs of provider openai: responses or
	// chat. Default: responses, with a baseURL chat; it is chosen once and
	// stays when baseURL changes later.
	// +optional
	WireFormat WireFormat `json:"wireFormat,omitempty"`
	// thinking asks the model to reason before it answers.
	// +optional
	Thinking *Thinking `json:"thinking,omitempty"`
	// parameters is passed to the provider as it is, as further fields of the
	// request. It may not set model, messages, tools or stream.
	// +optional
	Parameters *runtime.RawExtension `json:"parameters,omitempty"`
	// jobs says how many jobs run and how much each of them does.
	// +optional
	// +default={}
	Jobs *ModelJobs `json:"jobs,omitempty"`
	// fallbacks are models of this namespace that are tried in order when an
	// attempt fails before its first visible output.
	// +optional
	// +listType=map
	// +listMapKey=name
	Fallbacks []ModelFallback `json:"fallbacks,omitempty"`
	// retry says how attempts that failed before their first visible output
	// are repeated.
	// +optional
	// +default={}
	Retry *ModelRetry `json:"retry,omitempty"`
}

// Thinking asks a model to reason before it answers, by a budget or by an
// effort, not both.
type Thinking struct {
	// budgetTokens is the number of tokens that may be spent on thinking.
	// +optional
	BudgetTokens *int32 `json:"budgetTokens,omitempty"`
	// effort is the provider's own word: low, medium, high and the like.
	// +optional
	Effort string `json:"effort,omitempty"`
}

// ModelJobs says how many jobs a model has.
type ModelJobs struct {
	// min is the number of jobs that are kept running without work. Default 0.
	// +optional
	// +default=0
	Min *int32 `json:"min,omitempty"`
	// max is the largest number of jobs. Default 1, or min where that is more.
	// +optional
	Max *int32 `json:"max,omitempty"`
	// turnsPerJob is how many turns one job runs at the same time. Default 8.
	// +optional
	// +default=8
	TurnsPerJob *int32 `json:"turnsPerJob,omitempty"`
}

// ModelFallback names a model to fall back to.
type ModelFallback struct {
	// name of a TightbeamModel of the same namespace.
	Name string `json:"name"`
}

// ModelRetry says how failed attempts are repeated.
type ModelRetry struct {
	// maxAttempts is the number of attempts on one model, the first included.
	// Default 3.
	// +optional
	// +default=3
	MaxAttempts *int32 `json:"maxAttempts,omitempty"`
	// backoffSeconds is the wait before the second attempt; it doubles with
	// each further one, up to a minute. A provider's Retry-After that is
	// longer wins. Default 1.
	// +optional
	// +default=1
	BackoffSeconds *int32 `json:"backoffSeconds,omitempty"`
}

// TightbeamModelStatus is what has been observed of a model.
type TightbeamModelStatus struct {
	// conditions: Ready says whether jobs of this model can run.
	// +optional
	// +patchMergeKey=type
	// +patchStrategy=merge
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty" patchStrategy:"merge" patchMergeKey:"type"`
	// observedGeneration is the generation that the condition Ready is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// connectedJobs is the number of jobs connected to the gateway.
	// +optional
	ConnectedJobs int32 `json:"connectedJobs"`
	// queuedTurns is the number of turns that wait for a job of this model.
	// +optional
	QueuedTurns int32 `json:"queuedTurns"`
	// runningTurns is the number of turns that a job of this model runs.
	// +optional
	RunningTurns int32 `json:"runningTurns"`
	// usage is the sum over all finished attempts on this model, written at
	// most once a minute.
	// +optional
	Usage *Usage `json:"usage,omitempty"`
}

// Usage counts tokens. The whole prompt is inputTokens + cacheReadTokens +
// cacheWriteTokens.
type Usage struct {
	// inputTokens is the number of prompt tokens that no cache served or stored.
	InputTokens int64 `json:"inputTokens"`
	// outputTokens is the number of generated tokens, thinking included.
	OutputTokens int64 `json:"outputTokens"`
	// cacheReadTokens is the number of prompt tokens the provider's cache served.
	// +optional
	CacheReadTokens int64 `json:"cacheReadTokens,omitempty"`
	// cacheWriteTokens is the number of prompt tokens stored in the provider's cache.
	// +optional
	CacheWriteTokens int64 `json:"cacheWriteTokens,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// TightbeamModelList is a list of models.
type TightbeamModelList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []TightbeamModel `json:"items"`
}
