// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package apitest holds an API group to the laws of all API groups.
package apitest

import (
	"math/rand"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/apitesting/roundtrip"
	genericfuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
)

// Group is an API group with one version.
type Group struct {
	Install func(*runtime.Scheme) error
	Version schema.GroupVersion
	// Fuzz fills objects with what the server may hold: defaults set, JSON
	// that is JSON.
	Fuzz []any
	// Selectable are the fields that selectors may name, by kind.
	Selectable map[string][]string
	// Fields is what selectors see of an object, by kind; it is given an
	// object of that kind.
	Fields map[string]func(runtime.Object) fields.Set
}

// Scheme has the group as a server installs it.
func (g Group) Scheme(t testing.TB) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := g.Install(scheme); err != nil {
		t.Fatal(err)
	}
	return scheme
}

// Run tests all laws.
func (g Group) Run(t *testing.T) {
	t.Run("types survive encoding", g.survivesEncoding)
	t.Run("defaulting twice is defaulting once", g.defaultsOnce)
	t.Run("the internal version is the same object", g.internalIsTheSame)
	t.Run("selectable fields are those that objects show", g.showsWhatIsSelectable)
}

func (g Group) survivesEncoding(t *testing.T) {
	scheme := g.Scheme(t)
	codecs := serializer.NewCodecFactory(scheme)
	own := func(serializer.CodecFactory) []any { return g.Fuzz }
	fill := fuzzer.FuzzerFor(fuzzer.MergeFuzzerFuncs(genericfuzzer.Funcs, own), rand.NewSource(rand.Int63()), codecs)
	roundtrip.RoundTripTypesWithoutProtobuf(t, scheme, codecs, fill, nil)
}

func (g Group) defaultsOnce(t *testing.T) {
	scheme := g.Scheme(t)
	fill := fuzzer.FuzzerFor(genericfuzzer.Funcs, rand.NewSource(rand.Int63()), serializer.NewCodecFactory(scheme))
	for kind := range scheme.KnownTypes(g.Version) {
		for range 100 {
			object, err := scheme.New(g.Version.WithKind(kind))
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
func (g Group) internalIsTheSame(t *testing.T) {
	scheme := g.Scheme(t)
	internal := schema.GroupVersion{Group: g.Version.Group, Version: runtime.APIVersionInternal}
	for kind := range g.Selectable {
		for _, kind := range []string{kind, kind + "List"} {
			object, err := scheme.New(g.Version.WithKind(kind))
			if err != nil {
				t.Fatal(err)
			}
			converted, err := scheme.UnsafeConvertToVersion(object, internal)
			if err != nil {
				t.Fatal(err)
			}
			if converted != object {
				t.Errorf("%s was converted to another object", kind)
			}
		}
	}
	if versions := scheme.PrioritizedVersionsForGroup(g.Version.Group); len(versions) != 1 || versions[0] != g.Version {
		t.Errorf("the group is served in %v", versions)
	}
}

// A label that the scheme knows and the set lacks would match no object
// without saying so; one that the set has and the scheme lacks cannot be used.
func (g Group) showsWhatIsSelectable(t *testing.T) {
	scheme := g.Scheme(t)
	if len(g.Fields) != len(g.Selectable) {
		t.Fatalf("fields of %d kinds, labels of %d", len(g.Fields), len(g.Selectable))
	}
	for kind, selectable := range g.Selectable {
		object, err := scheme.New(g.Version.WithKind(kind))
		if err != nil {
			t.Fatal(err)
		}
		set := g.Fields[kind](object)
		for label := range set {
			if !slices.Contains(selectable, label) {
				t.Errorf("%s shows %s, which cannot be selected by", kind, label)
			}
		}
		for _, label := range selectable {
			if _, ok := set[label]; !ok {
				t.Errorf("%s does not show %s", kind, label)
			}
			if _, _, err := scheme.ConvertFieldLabel(g.Version.WithKind(kind), label, ""); err != nil {
				t.Error(err)
			}
		}
		if _, _, err := scheme.ConvertFieldLabel(g.Version.WithKind(kind), "spec.nothing", ""); err == nil {
			t.Errorf("%s can be selected by spec.nothing", kind)
		}
	}
}
