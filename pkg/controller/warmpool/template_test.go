// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpool

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

func TestAPoolOfPodsThatNoSandboxCouldHaveSaysSo(t *testing.T) {
	t.Parallel()
	environments := cache.NewSharedIndexInformer(&cache.ListWatch{}, &v1.RuntimeEnvironment{}, 0, cache.Indexers{})
	if err := environments.GetStore().Add(&v1.RuntimeEnvironment{
		ObjectMeta: metav1.ObjectMeta{Name: "python"},
		Spec: v1.RuntimeEnvironmentSpec{Language: "python", Version: "3.11", ResourceRequirements: &v1.RuntimeResources{
			MinCPU: ptr.To(resource.MustParse("50m")), MinMemory: ptr.To(resource.MustParse("64Mi")),
		}},
	}); err != nil {
		t.Fatal(err)
	}
	c := &Controller{Options: Options{Environments: environments}}
	for name, tc := range map[string]struct {
		runtime, cpu, memory string
		reason, says         string
	}{
		"enough":           {runtime: "python", cpu: "50m", memory: "64Mi"},
		"too little CPU":   {runtime: "python", cpu: "40m", memory: "64Mi", reason: "ResourcesTooSmall", says: "spec.resources.cpu"},
		"too little of it": {runtime: "python", cpu: "50m", memory: "32Mi", reason: "ResourcesTooSmall", says: "spec.resources.memory"},
		"another runtime":  {runtime: "nodejs", cpu: "50m", memory: "64Mi", reason: "RuntimeNotFound", says: "nodejs"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := &v1.WarmPool{Spec: v1.WarmPoolSpec{Runtime: tc.runtime, Resources: &v1.Resources{
				CPU: ptr.To(resource.MustParse(tc.cpu)), Memory: ptr.To(resource.MustParse(tc.memory)),
			}}}
			v1.SetObjectDefaults_WarmPool(pool)
			template, _, err := c.template(pool)
			refusal := asRefusal(err)
			switch {
			case tc.reason == "":
				if err != nil || template == nil {
					t.Errorf("got %v", err)
				}
			case refusal == nil || refusal.Reason != tc.reason || !strings.Contains(refusal.Message, tc.says):
				t.Errorf("got %v, want %s: …%s…", err, tc.reason, tc.says)
			}
		})
	}
}
