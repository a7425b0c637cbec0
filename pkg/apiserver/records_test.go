// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"bytes"
	"math/rand"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	genericfuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"

	"safebeam.dev/safebeam/pkg/apiserver/certificates"
	"safebeam.dev/safebeam/pkg/gateway/bindings"
	"safebeam.dev/safebeam/pkg/gateway/podidentity"
	"safebeam.dev/safebeam/pkg/storage/heads"
)

// Laws of the records that are kept beside the API's objects: what a write is
// answered with is what reading it gives, and their form in the store is that of
// Kubernetes' own codec, which wrote the first of them.
func TestARecordIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	for name, record := range map[string]struct {
		codec runtime.Codec
		group string
		make  func() runtime.Object
	}{
		"head":       {heads.Codec(), heads.Resource.Group, func() runtime.Object { return &heads.Head{} }},
		"binding":    {bindings.Codec(), bindings.Resource.Group, func() runtime.Object { return &bindings.Record{} }},
		"pod":        {podidentity.Codec(), podidentity.Resource.Group, func() runtime.Object { return &podidentity.Record{} }},
		"credential": {certificates.Codec(), certificates.Resource.Group, func() runtime.Object { return &certificates.Record{} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			codec := record.codec
			first := upstream(schema.GroupVersion{Group: record.group, Version: "v1"}, record.make())
			fill := fuzzer.FuzzerFor(genericfuzzer.Funcs, rand.NewSource(seed), serializer.NewCodecFactory(runtime.NewScheme()))
			for range 200 {
				wrote := record.make()
				fill.Fill(wrote)
				wrote.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
				data, err := runtime.Encode(codec, wrote)
				if err != nil {
					t.Fatal(err)
				}
				want, err := runtime.Encode(first, wrote)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(data, want) {
					t.Fatalf("it is stored as\n%s\nand not as\n%s", data, want)
				}
				// The very bytes that were written, and others that say the same.
				answered, read := record.make(), record.make()
				if err := runtime.DecodeInto(codec, data, answered); err != nil {
					t.Fatal(err)
				}
				if err := runtime.DecodeInto(codec, bytes.Clone(data), read); err != nil {
					t.Fatal(err)
				}
				if !apiequality.Semantic.DeepEqual(answered, read) {
					t.Fatalf("read (-), answered (+):\n%s", cmp.Diff(read, answered, cmp.Exporter(nil)))
				}
			}
		})
	}
}

// upstream is Kubernetes' own codec of a type.
func upstream(version schema.GroupVersion, obj runtime.Object) runtime.Codec {
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(version, obj)
	scheme.AddKnownTypes(schema.GroupVersion{Group: version.Group, Version: runtime.APIVersionInternal}, obj)
	return serializer.NewCodecFactory(scheme).LegacyCodec(version)
}
