// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import "k8s.io/utils/ptr"

// The defaults of api.md: those that are one value stand as +default beside
// their field, those that hang on other fields are below. RegisterDefaults,
// which gives both to a scheme, is generated. What the server's flags decide
// (image, ttlSecondsAfterFinished) stays unset in the object.

// SetDefaults_TightbeamModelSpec chooses the API of provider openai: what
// answers at another URL than OpenAI's seldom speaks Responses.
func SetDefaults_TightbeamModelSpec(spec *TightbeamModelSpec) {
	if spec.Provider != ProviderOpenAI || spec.WireFormat != "" {
		return
	}
	spec.WireFormat = WireFormatResponses
	if spec.BaseURL != "" {
		spec.WireFormat = WireFormatChat
	}
}

// SetDefaults_ModelJobs lets min alone ask for several jobs.
func SetDefaults_ModelJobs(jobs *ModelJobs) {
	if jobs.Max == nil {
		jobs.Max = ptr.To(max(1, ptr.Deref(jobs.Min, 0)))
	}
}
