// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"net/url"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"safebeam.dev/safebeam/apis/internal/check"
	v1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

var providers = []v1.Provider{v1.ProviderAnthropic, v1.ProviderOpenAI, v1.ProviderGemini, v1.ProviderEcho}

// Model validates a new model.
func Model(model *v1.TightbeamModel) field.ErrorList {
	errs := apivalidation.ValidateObjectMeta(&model.ObjectMeta, true, check.LabelledName, field.NewPath("metadata"))
	return append(errs, modelSpec(&model.Spec, model.Name, field.NewPath("spec"))...)
}

// ModelUpdate validates a changed model. Everything may change: turns that run
// keep what they were assigned.
func ModelUpdate(model, old *v1.TightbeamModel) field.ErrorList {
	errs := apivalidation.ValidateObjectMetaUpdate(&model.ObjectMeta, &old.ObjectMeta, field.NewPath("metadata"))
	return append(errs, modelSpec(&model.Spec, model.Name, field.NewPath("spec"))...)
}

// ModelStatusUpdate validates what the controller observed.
func ModelStatusUpdate(model, old *v1.TightbeamModel) field.ErrorList {
	errs := apivalidation.ValidateObjectMetaUpdate(&model.ObjectMeta, &old.ObjectMeta, field.NewPath("metadata"))
	path, status := field.NewPath("status"), &model.Status
	errs = append(errs, metav1validation.ValidateConditions(status.Conditions, path.Child("conditions"))...)
	errs = append(errs, check.NotNegative(status.ConnectedJobs, path.Child("connectedJobs"))...)
	errs = append(errs, check.NotNegative(status.QueuedTurns, path.Child("queuedTurns"))...)
	errs = append(errs, check.NotNegative(status.RunningTurns, path.Child("runningTurns"))...)
	return append(errs, usage(status.Usage, path.Child("usage"))...)
}

func modelSpec(spec *v1.TightbeamModelSpec, name string, path *field.Path) field.ErrorList {
	errs := check.OneOf(spec.Provider, path.Child("provider"), providers...)
	errs = append(errs, check.Word(spec.Model, maxModelID, "the provider's id of the model", path.Child("model"))...)
	errs = append(errs, check.Text(spec.Description, maxDescription, path.Child("description"))...)
	errs = append(errs, check.Between(spec.MaxTokens, 1, maxTokens, path.Child("maxTokens"))...)
	errs = append(errs, modelEndpoint(spec, path)...)
	errs = append(errs, check.Image(spec.Image, path.Child("image"))...)
	if len(spec.Egress) > maxEgressRules {
		errs = append(errs, field.TooMany(path.Child("egress"), len(spec.Egress), maxEgressRules))
	}
	errs = append(errs, check.EgressRules(spec.Egress, path.Child("egress"))...)
	errs = append(errs, check.Between(spec.IdleTimeout, 1, maxIdleSeconds, path.Child("idleTimeout"))...)
	errs = append(errs, modelThinking(spec, path.Child("thinking"))...)
	errs = append(errs, parameters(spec, path.Child("parameters"))...)
	errs = append(errs, modelJobs(spec.Jobs, path.Child("jobs"))...)
	errs = append(errs, fallbacks(spec.Fallbacks, name, path.Child("fallbacks"))...)
	if spec.Retry != nil {
		errs = append(errs, check.Between(spec.Retry.MaxAttempts, 1, maxAttempts, path.Child("retry", "maxAttempts"))...)
		errs = append(errs, check.Between(spec.Retry.BackoffSeconds, 0, maxBackoffSeconds, path.Child("retry", "backoffSeconds"))...)
	}
	return errs
}

// modelEndpoint validates where the provider is and what opens it: nothing of
// that means anything to echo, which is nowhere.
func modelEndpoint(spec *v1.TightbeamModelSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if spec.Provider == v1.ProviderEcho {
		if spec.SecretName != "" {
			errs = append(errs, field.Forbidden(path.Child("secretName"), "the provider echo uses no Secret: leave it out"))
		}
		if spec.BaseURL != "" {
			errs = append(errs, field.Forbidden(path.Child("baseURL"), "the provider echo calls nobody: leave it out"))
		}
	} else {
		errs = append(errs, check.Reference(spec.SecretName, "the Secret with the keys provider, model and api-key", path.Child("secretName"))...)
		errs = append(errs, baseURL(spec.BaseURL, path.Child("baseURL"))...)
	}
	if spec.Provider == v1.ProviderOpenAI {
		return append(errs, check.OptionalOneOf(spec.WireFormat, path.Child("wireFormat"), v1.WireFormatResponses, v1.WireFormatChat)...)
	}
	if spec.WireFormat != "" {
		errs = append(errs, field.Forbidden(path.Child("wireFormat"), "is for the provider openai only: leave it out"))
	}
	return errs
}

// baseURL wants an address without credentials: objects are read by more
// people than Secrets.
func baseURL(raw string, path *field.Path) field.ErrorList {
	if raw == "" {
		return nil
	}
	if errs := check.Word(raw, 2048, "", path); len(errs) > 0 {
		return errs
	}
	parsed, err := url.Parse(raw)
	switch {
	case err != nil || parsed.Host == "" || parsed.Hostname() == "":
		return field.ErrorList{field.Invalid(path, field.OmitValueType{}, "must be a URL with a host, such as https://llm.example/v1")}
	case parsed.Scheme != "http" && parsed.Scheme != "https":
		return field.ErrorList{field.NotSupported(path, parsed.Scheme, []string{"https", "http"})}
	case parsed.User != nil:
		return field.ErrorList{field.Invalid(path, field.OmitValueType{}, "must not contain a user or a password: credentials belong in the Secret")}
	case parsed.RawQuery != "" || parsed.ForceQuery || parsed.Fragment != "":
		return field.ErrorList{field.Invalid(path, field.OmitValueType{}, "must end with its path, without ? or #: credentials belong in the Secret, further fields in parameters")}
	}
	return nil
}

func modelThinking(spec *v1.TightbeamModelSpec, path *field.Path) field.ErrorList {
	errs := thinking(spec.Thinking, path)
	if len(errs) > 0 || spec.Thinking == nil {
		return errs
	}
	budget := spec.Thinking.BudgetTokens
	switch {
	case budget == nil:
	case spec.Provider == v1.ProviderOpenAI:
		errs = append(errs, field.Forbidden(path.Child("budgetTokens"), "the provider openai knows no budget: use effort"))
	case spec.Provider == v1.ProviderAnthropic && spec.MaxTokens != nil && *budget >= *spec.MaxTokens:
		errs = append(errs, field.Invalid(path.Child("budgetTokens"), *budget, "must be below maxTokens, which includes the thinking"))
	}
	return errs
}

func thinking(thinking *v1.Thinking, path *field.Path) field.ErrorList {
	if thinking == nil {
		return nil
	}
	switch {
	case thinking.BudgetTokens == nil && thinking.Effort == "":
		return field.ErrorList{field.Required(path, "either budgetTokens or effort")}
	case thinking.BudgetTokens != nil && thinking.Effort != "":
		return field.ErrorList{field.Forbidden(path, "budgetTokens and effort exclude each other: keep one")}
	case thinking.BudgetTokens != nil:
		return check.Between(thinking.BudgetTokens, 1, maxTokens, path.Child("budgetTokens"))
	}
	return check.Word(thinking.Effort, 64, "", path.Child("effort"))
}

// reservedParameters make a request what it is, in the words of every
// provider; the job writes them.
var reservedParameters = []string{
	"model", "messages", "tools", "stream",
	"input", "instructions", // openai, Responses
	"system",                                              // anthropic
	"contents", "systemInstruction", "system_instruction", // gemini
}

func parameters(spec *v1.TightbeamModelSpec, path *field.Path) field.ErrorList {
	members, errs := check.Object(spec.Parameters, maxParameters, path)
	for _, reserved := range reservedParameters {
		if _, ok := members[reserved]; ok {
			errs = append(errs, field.Forbidden(path.Child(reserved), "is set by the server for each turn: leave it out"))
		}
	}
	return errs
}

func modelJobs(jobs *v1.ModelJobs, path *field.Path) field.ErrorList {
	if jobs == nil {
		return nil
	}
	errs := check.Between(jobs.Min, 0, maxJobs, path.Child("min"))
	errs = append(errs, check.Between(jobs.Max, 1, maxJobs, path.Child("max"))...)
	errs = append(errs, check.Between(jobs.TurnsPerJob, 1, maxTurnsPerJob, path.Child("turnsPerJob"))...)
	if len(errs) == 0 && jobs.Max != nil && ptr.Deref(jobs.Min, 0) > *jobs.Max {
		errs = append(errs, field.Invalid(path.Child("min"), *jobs.Min, "must not be above max"))
	}
	return errs
}

func fallbacks(fallbacks []v1.ModelFallback, self string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(fallbacks) > maxFallbacks {
		errs = append(errs, field.TooMany(path, len(fallbacks), maxFallbacks))
	}
	seen := map[string]bool{}
	for i, fallback := range fallbacks {
		namePath := path.Index(i).Child("name")
		switch {
		case fallback.Name == self && self != "":
			errs = append(errs, field.Invalid(namePath, fallback.Name, "is the model itself; retry says how often it is tried"))
		case seen[fallback.Name]:
			errs = append(errs, field.Duplicate(namePath, fallback.Name))
		default:
			errs = append(errs, check.Reference(fallback.Name, "another TightbeamModel of this namespace", namePath)...)
		}
		seen[fallback.Name] = true
	}
	return errs
}

func usage(usage *v1.Usage, path *field.Path) field.ErrorList {
	if usage == nil {
		return nil
	}
	errs := check.NotNegative(usage.InputTokens, path.Child("inputTokens"))
	errs = append(errs, check.NotNegative(usage.OutputTokens, path.Child("outputTokens"))...)
	errs = append(errs, check.NotNegative(usage.CacheReadTokens, path.Child("cacheReadTokens"))...)
	return append(errs, check.NotNegative(usage.CacheWriteTokens, path.Child("cacheWriteTokens"))...)
}
