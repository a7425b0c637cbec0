// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// webhook refuses objects with the label e2e=refuse at /validate, and gives
// the annotation e2e to all at /mutate.
func webhook(arguments []string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/validate", admit(func(object metav1.Object, response *admissionv1.AdmissionResponse) {
		if object.GetLabels()["e2e"] == "refuse" {
			response.Allowed = false
			response.Result = &metav1.Status{Message: "the webhook refuses " + object.GetName()}
		}
	}))
	mux.HandleFunc("/mutate", admit(func(object metav1.Object, response *admissionv1.AdmissionResponse) {
		patch := admissionv1.PatchTypeJSONPatch
		response.PatchType = &patch
		response.Patch = []byte(`[{"op":"add","path":"/metadata/annotations","value":{"e2e":"was-here"}}]`)
	}))
	return http.ListenAndServeTLS(":8443", filepath.Join(arguments[0], "tls.crt"), filepath.Join(arguments[0], "tls.key"), mux)
}

func admit(decide func(metav1.Object, *admissionv1.AdmissionResponse)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.Request == nil {
			http.Error(w, "no review", http.StatusBadRequest)
			return
		}
		var object metav1.PartialObjectMetadata
		if err := json.Unmarshal(review.Request.Object.Raw, &object); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
		decide(&object, review.Response)
		review.Request = nil
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review) // the caller is gone
	}
}
