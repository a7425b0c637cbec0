// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"testing"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

func TestStoredKindsAreFoundAsKubernetesFindsThem(t *testing.T) {
	for _, data := range []string{
		`{"kind":"Turn","apiVersion":"tightbeam.dev/v1","metadata":{"name":"a"}}`,
		`{"kind":"Turn","apiVersion":"v1"}`,
		`{"kind":"Turn","apiVersion":"a/b/c"}`,
		`{"apiVersion":"tightbeam.dev/v1","kind":"Turn"}`,
		`{ "kind":"Turn","apiVersion":"v1"}`,
		`{"kind":"Tu\u0072n","apiVersion":"v1"}`,
		`{"kind":"Turn","apiVersion":"v\u0031"}`,
		`{"kind":"","apiVersion":"v1"}`,
		`{"kind":"Turn","apiVersion":""}`,
		`{"kind":"Turn"}`,
		`{"metadata":{}}`,
		`{}`,
		`{"kind":"Turn","apiVersion":"v1`,
		`{"kind":"Turn`,
		`[]`,
		``,
	} {
		want, wantErr := json.DefaultMetaFactory.Interpret([]byte(data))
		got, err := kindFirst{}.Interpret([]byte(data))
		if (err == nil) != (wantErr == nil) || err == nil && *got != *want {
			t.Errorf("%s: %v, %v; Kubernetes finds %v, %v", data, got, err, want, wantErr)
		}
	}
}

func TestWhatIsDamagedAfterTheKindIsNotDecoded(t *testing.T) {
	codec := NewCodec(testScheme(t), tightbeamv1.SchemeGroupVersion, tightbeamv1.SchemeGroupVersion)
	for _, data := range []string{
		`{"kind":"TightbeamModel","apiVersion":"tightbeam.dev/v1"`,
		`{"kind":"TightbeamModel","apiVersion":"tightbeam.dev/v1","metadata":{]}`,
		`{"kind":"TightbeamModel","apiVersion":"tightbeam.dev/v1"}x`,
	} {
		if err := runtime.DecodeInto(codec, []byte(data), &tightbeamv1.TightbeamModel{}); err == nil {
			t.Errorf("%s was decoded", data)
		}
	}
}

func TestObjectsComeBackAsTheyWereStored(t *testing.T) {
	scheme := testScheme(t)
	codec := NewCodec(scheme, tightbeamv1.SchemeGroupVersion, tightbeamv1.SchemeGroupVersion)
	want := &tightbeamv1.TightbeamModel{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "b", Labels: map[string]string{"kind": "c"}}}
	scheme.Default(want)
	data, err := runtime.Encode(codec, want)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, ok := leadingTypeMeta(data); !ok {
		t.Errorf("the kind is not in front of %s", data)
	}
	got := &tightbeamv1.TightbeamModel{}
	if err := runtime.DecodeInto(codec, data, got); err != nil {
		t.Fatal(err)
	}
	want.TypeMeta = got.TypeMeta
	if got.Kind != "TightbeamModel" || got.APIVersion != tightbeamv1.SchemeGroupVersion.String() || !apiequality.Semantic.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func testScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := tightbeamv1.Install(scheme); err != nil {
		t.Fatal(err)
	}
	return scheme
}
