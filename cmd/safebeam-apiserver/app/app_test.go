// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientset "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"safebeam.dev/safebeam/pkg/apiserver/options"
)

func TestAuthorityIsWrittenWhereItIsNot(t *testing.T) {
	t.Parallel()
	stored := map[string][]byte{"v1.old": []byte("old"), "v1.same": []byte("PEM")}
	var patched []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/apis/apiregistration.k8s.io/v1/apiservices/")
		bundle, ok := stored[name]
		if !ok {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusNotFound)
			_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: metav1.StatusReasonNotFound, Code: 404})
			return
		}
		if r.Method == http.MethodPatch {
			body, _ := io.ReadAll(r.Body)
			var patch map[string]map[string][]byte
			if err := json.Unmarshal(body, &patch); err != nil || len(patch) != 1 || len(patch["spec"]) != 1 {
				t.Errorf("patched with %s, %v", body, err)
			}
			stored[name], patched = patch["spec"]["caBundle"], append(patched, name)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"spec": map[string]any{"caBundle": bundle}})
	}))
	t.Cleanup(server.Close)
	client, err := clientset.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	p := &publisher{client: client.CoreV1().RESTClient()}
	for name, works := range map[string]bool{"v1.old": true, "v1.same": true, "v1.none": false} {
		if err := p.publishIn(t.Context(), name, []byte("PEM")); (err == nil) != works {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !slices.Equal(patched, []string{"v1.old"}) || string(stored["v1.old"]) != "PEM" {
		t.Errorf("patched %v: %s", patched, stored)
	}
}

// On a cluster that does not serve a policy API its plugin is left out: it
// would wait for the API and refuse every write until then.
func TestPolicyThatTheClusterDoesNotServeIsLeftOut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		served   []string
		enable   string
		disabled []string
		fails    bool
	}{
		"both":                 {served: []string{"validatingadmissionpolicies", "mutatingadmissionpolicies"}},
		"an older cluster":     {served: []string{"validatingadmissionpolicies"}, disabled: []string{"MutatingAdmissionPolicy"}},
		"a much older cluster": {disabled: []string{"MutatingAdmissionPolicy", "ValidatingAdmissionPolicy"}},
		"asked for":            {enable: "MutatingAdmissionPolicy", fails: true},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			list := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: "admissionregistration.k8s.io/v1"}
			for _, resource := range c.served {
				list.APIResources = append(list.APIResources, metav1.APIResource{Name: resource})
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(list)
		}))
		t.Cleanup(server.Close)
		kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
		if err := os.WriteFile(kubeconfig, []byte("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: '"+server.URL+"'}}]\ncontexts: [{name: c, context: {cluster: c}}]\ncurrent-context: c\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		o := options.NewOptions().Recommended
		o.CoreAPI.CoreAPIKubeconfigPath = kubeconfig
		if c.enable != "" {
			o.Admission.EnablePlugins = []string{c.enable}
		}
		err := leaveOutUnserved(t.Context(), o)
		if (err != nil) != c.fails {
			t.Errorf("%s: %v", name, err)
		}
		slices.Sort(o.Admission.DisablePlugins)
		if !c.fails && !slices.Equal(o.Admission.DisablePlugins, c.disabled) {
			t.Errorf("%s: disabled %v, want %v", name, o.Admission.DisablePlugins, c.disabled)
		}
	}
}

func TestQuotaIsTheLastPlugin(t *testing.T) {
	t.Parallel()
	o := options.NewOptions().Recommended
	enforceQuota(o)
	order := o.Admission.RecommendedPluginOrder
	if order[len(order)-1] != "ResourceQuota" {
		t.Errorf("order %v: what a later plugin refuses would be counted", order)
	}
	if errs := o.Admission.Validate(); len(errs) > 0 {
		t.Error(errs)
	}
}
