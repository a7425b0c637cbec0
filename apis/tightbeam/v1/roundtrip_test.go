// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	"encoding/json"
	"math/rand"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/apitesting/roundtrip"
	genericfuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/randfill"
)

// fuzzerFuncs keep to what the server holds: defaults set, JSON that is JSON.
func fuzzerFuncs(codecs serializer.CodecFactory) []any {
	return []any{
		func(raw *runtime.RawExtension, c randfill.Continue) {
			document, err := json.Marshal(map[string]any{"a": c.Uint32(), "b": []string{c.String(8)}})
			if err != nil {
				panic(err)
			}
			*raw = runtime.RawExtension{Raw: document}
		},
		func(object *TightbeamModel, c randfill.Continue) {
			c.FillNoCustom(object)
			SetObjectDefaults_TightbeamModel(object)
		},
		func(object *TightbeamChannel, c randfill.Continue) {
			c.FillNoCustom(object)
			SetObjectDefaults_TightbeamChannel(object)
		},
		func(object *Conversation, c randfill.Continue) {
			c.FillNoCustom(object)
			SetObjectDefaults_Conversation(object)
		},
		func(object *Turn, c randfill.Continue) {
			c.FillNoCustom(object)
			SetObjectDefaults_Turn(object)
		},
	}
}

func installed(t testing.TB) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := Install(scheme); err != nil {
		t.Fatal(err)
	}
	return scheme
}

func TestTypesSurviveEncoding(t *testing.T) {
	scheme := installed(t)
	codecs := serializer.NewCodecFactory(scheme)
	fill := fuzzer.FuzzerFor(fuzzer.MergeFuzzerFuncs(genericfuzzer.Funcs, fuzzerFuncs), rand.NewSource(rand.Int63()), codecs)
	roundtrip.RoundTripTypesWithoutProtobuf(t, scheme, codecs, fill, nil)
}

func TestDefaultingTwiceIsDefaultingOnce(t *testing.T) {
	scheme := installed(t)
	codecs := serializer.NewCodecFactory(scheme)
	fill := fuzzer.FuzzerFor(genericfuzzer.Funcs, rand.NewSource(rand.Int63()), codecs)
	for kind := range scheme.KnownTypes(SchemeGroupVersion) {
		for range 100 {
			object, err := scheme.New(SchemeGroupVersion.WithKind(kind))
			if err != nil {
				t.Fatal(err)
			}
			fill.Fill(object)
			scheme.Default(object)
			once := object.DeepCopyObject()
			scheme.Default(object)
			if diff := cmp.Diff(once, object); diff != "" {
				t.Fatalf("%s: %s", kind, diff)
			}
		}
	}
}

// One set of Go types serves as both versions, so that no request pays for a
// conversion.
func TestInternalVersionIsTheSameObject(t *testing.T) {
	scheme := installed(t)
	for _, object := range knownTypes() {
		internal, err := scheme.UnsafeConvertToVersion(object, InternalGroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		if internal != object {
			t.Errorf("%T was converted to another object", object)
		}
	}
	if versions := scheme.PrioritizedVersionsForGroup(GroupName); len(versions) != 1 || versions[0] != SchemeGroupVersion {
		t.Errorf("the group is served in %v", versions)
	}
}
