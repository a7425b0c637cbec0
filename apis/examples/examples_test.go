// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package examples

import (
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	llmsafespace "safebeam.dev/safebeam/apis/llmsafespace/v1"
	llmsafespacevalidation "safebeam.dev/safebeam/apis/llmsafespace/validation"
	tightbeam "safebeam.dev/safebeam/apis/tightbeam/v1"
	tightbeamvalidation "safebeam.dev/safebeam/apis/tightbeam/validation"
)

const directory = "../../artifacts/examples"

// What people copy is taken as it stands: decoded strictly, as kubectl asks for.
func TestExamplesAreValid(t *testing.T) {
	t.Parallel()
	scheme := runtime.NewScheme()
	for _, install := range []func(*runtime.Scheme) error{tightbeam.Install, llmsafespace.Install} {
		if err := install(scheme); err != nil {
			t.Fatal(err)
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDecoder(tightbeam.SchemeGroupVersion, llmsafespace.SchemeGroupVersion)
	files, err := filepath.Glob(filepath.Join(directory, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			json, err := yaml.YAMLToJSONStrict(data)
			if err != nil {
				t.Fatal(err)
			}
			object, kind, err := decoder.Decode(json, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			kinds[kind.Kind] = true
			accessor, err := meta.Accessor(object)
			if err != nil {
				t.Fatal(err)
			}
			if accessor.GetNamespace() == "" && kind.Kind != "RuntimeEnvironment" {
				t.Error("no namespace: it would land where its reader happens to be")
			}
			for _, err := range validate(t, object) {
				t.Error(err)
			}
		})
	}
	if len(kinds) != 10 {
		t.Errorf("examples of %d kinds, there are 10: %v", len(kinds), kinds)
	}
}

func validate(t *testing.T, object runtime.Object) field.ErrorList {
	limits := llmsafespacevalidation.Limits{}
	switch o := object.(type) {
	case *tightbeam.TightbeamModel:
		return tightbeamvalidation.Model(o)
	case *tightbeam.TightbeamChannel:
		return tightbeamvalidation.Channel(o)
	case *tightbeam.Conversation:
		return tightbeamvalidation.Conversation(o)
	case *tightbeam.Turn:
		return tightbeamvalidation.Turn(o)
	case *llmsafespace.Sandbox:
		return llmsafespacevalidation.Sandbox(o, limits)
	case *llmsafespace.Execution:
		return llmsafespacevalidation.Execution(o)
	case *llmsafespace.WarmPool:
		return llmsafespacevalidation.WarmPool(o, limits)
	case *llmsafespace.WarmPod:
		return llmsafespacevalidation.WarmPod(o)
	case *llmsafespace.SandboxProfile:
		return llmsafespacevalidation.SandboxProfile(o, limits)
	case *llmsafespace.RuntimeEnvironment:
		return llmsafespacevalidation.RuntimeEnvironment(o)
	}
	t.Fatalf("nothing validates %T", object)
	return nil
}
