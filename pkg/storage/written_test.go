// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	genericfuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/apis/example"
	examplev1 "k8s.io/apiserver/pkg/apis/example/v1"
	"sigs.k8s.io/randfill"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// Law: what is copied is what decoding makes, of every kind that is stored.
func TestACopyOfWhatWasWrittenIsWhatDecodingMakesOfIt(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, install := range []func(*runtime.Scheme) error{tightbeamv1.Install, llmsafespacev1.Install, example.AddToScheme, examplev1.AddToScheme} {
		if err := install(scheme); err != nil {
			t.Fatal(err)
		}
	}
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	fill := fuzzer.FuzzerFor(fuzzer.MergeFuzzerFuncs(genericfuzzer.Funcs, awkward), rand.NewSource(seed), serializer.NewCodecFactory(scheme))
	for _, tc := range []struct{ stored, memory schema.GroupVersion }{
		{tightbeamv1.SchemeGroupVersion, tightbeamv1.SchemeGroupVersion},
		{llmsafespacev1.SchemeGroupVersion, llmsafespacev1.SchemeGroupVersion},
		{examplev1.SchemeGroupVersion, example.SchemeGroupVersion},
	} {
		plain := NewCodec(scheme, tc.stored, tc.memory).(*writtenCodec).Codec
		codec := newWrittenCodec(plain, scheme, tc.stored)
		total := 0
		for kind := range scheme.KnownTypes(tc.stored) {
			if len(kind) > 4 && kind[len(kind)-4:] == "List" || scheme.KnownTypes(tc.memory)[kind] == nil {
				continue
			}
			copies := 0
			for range 200 {
				obj, err := scheme.New(tc.memory.WithKind(kind))
				if err != nil {
					t.Fatal(err)
				}
				if _, ok := obj.(metav1.Object); !ok {
					break // options and the like are not stored
				}
				fill.Fill(obj)
				scheme.Default(obj)
				data, err := runtime.Encode(codec, obj)
				if err != nil {
					t.Fatal(err)
				}
				before := obj.DeepCopyObject()
				got, want := empty(t, scheme, tc.memory, kind), empty(t, scheme, tc.memory, kind)
				if err := runtime.DecodeInto(plain, data, want); err != nil {
					t.Fatal(err)
				}
				written := codec.take(data)
				if written == nil {
					continue
				}
				gvk, ok := codec.copy(written, got)
				if !ok {
					continue
				}
				copies++
				if *gvk != tc.stored.WithKind(kind) {
					t.Fatalf("%s is a %v", kind, gvk)
				}
				if !apiequality.Semantic.DeepEqual(got, want) {
					t.Fatalf("%s: decoded (-), copied (+):\n%s", kind, cmp.Diff(want, got, cmp.Exporter(nil)))
				}
				if a, b := encode(t, plain, got), encode(t, plain, want); !bytes.Equal(a, b) {
					t.Fatalf("%s: the copy is written as\n%s\nwhat is decoded as\n%s", kind, a, b)
				}
				if !apiequality.Semantic.DeepEqual(obj, before) {
					t.Fatalf("%s: what was written has changed", kind)
				}
			}
			t.Logf("%s: %d copies", kind, copies)
			total += copies
		}
		if total == 0 {
			t.Errorf("nothing of %v was copied", tc.stored)
		}
	}
}

// awkward fills what JSON does not keep.
func awkward(serializer.CodecFactory) []any {
	zone := time.FixedZone("east", 3*3600)
	return []any{
		func(at *metav1.Time, c randfill.Continue) {
			if c.Intn(8) > 0 {
				*at = metav1.NewTime(time.Unix(c.Int63n(4e9), c.Int63n(1e9)).In(zone))
			}
		},
		func(at *metav1.MicroTime, c randfill.Continue) {
			if c.Intn(8) > 0 {
				*at = metav1.NewMicroTime(time.Unix(c.Int63n(4e9), c.Int63n(1e9)).In(zone))
			}
		},
		func(raw **runtime.RawExtension, c randfill.Continue) {
			switch c.Intn(16) {
			case 0:
				*raw = &runtime.RawExtension{}
			case 1:
				document, _ := json.MarshalIndent(map[string]any{"a": c.Uint32()}, "", "\t")
				*raw = &runtime.RawExtension{Raw: document}
			}
		},
		func(s *string, c randfill.Continue) {
			*s = []string{"", "plain", "zwei Wörter", "<&>", "\u2028", "\ufffd"}[c.Intn(6)]
			if c.Intn(500) == 0 {
				*s = "\xff\xfe"
			}
		},
	}
}

func empty(t *testing.T, scheme *runtime.Scheme, version schema.GroupVersion, kind string) runtime.Object {
	t.Helper()
	obj, err := scheme.New(version.WithKind(kind))
	if err != nil {
		t.Fatal(err)
	}
	return obj
}

func encode(t *testing.T, codec runtime.Codec, obj runtime.Object) []byte {
	t.Helper()
	data, err := runtime.Encode(codec, obj)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestOnlyTheBytesThatWereWrittenAreCopied(t *testing.T) {
	version := tightbeamv1.SchemeGroupVersion
	codec := NewCodec(testScheme(t), version, version).(*writtenCodec)
	model := &tightbeamv1.TightbeamModel{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "as it was written"}}
	data := encode(t, codec, model)
	// A copy proves itself by a change that the bytes know nothing of.
	model.UID = "changed"
	decode := func(data []byte) string {
		t.Helper()
		into := &tightbeamv1.TightbeamModel{}
		if err := runtime.DecodeInto(codec, data, into); err != nil {
			t.Fatal(err)
		}
		return string(into.UID)
	}
	if uid := decode(bytes.Clone(data)); uid != "as it was written" {
		t.Errorf("the same content at another place came back as %q", uid)
	}
	if uid := decode(data); uid != "changed" {
		t.Errorf("what was written was decoded, not copied: %q", uid)
	}
	for _, key := range codec.order {
		if key != nil || len(codec.objects) > 0 {
			t.Fatal("what was taken is held on to")
		}
	}
	if uid := decode(data); uid != "as it was written" {
		t.Errorf("it was copied twice: %q", uid)
	}
}

func TestWritesThatCameToNothingAreBounded(t *testing.T) {
	version := tightbeamv1.SchemeGroupVersion
	codec := NewCodec(testScheme(t), version, version).(*writtenCodec)
	for i := range 3 * writtenObjects {
		encode(t, codec, &tightbeamv1.TightbeamModel{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(i)}})
	}
	large := &tightbeamv1.TightbeamModel{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"a": string(make([]byte, writtenBytes))}}}
	data := encode(t, codec, large)
	if n := len(codec.objects); n > writtenObjects {
		t.Errorf("%d objects are kept", n)
	}
	if codec.take(data) != nil {
		t.Error("a large object is kept")
	}
}
