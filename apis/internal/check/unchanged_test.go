// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"slices"
	"testing"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
)

type inner struct {
	Memory *resource.Quantity `json:"memory,omitempty"`
	Paths  []string           `json:"paths,omitempty"`
}

type Embedded struct {
	Labels map[string]string `json:"labels,omitempty"`
}

type outer struct {
	Embedded `json:",inline"`
	Name     string `json:"name"`
	Inner    *inner `json:"inner,omitempty"`
	Plain    inner  `json:"plain"`
	Count    *int32 `json:"count,omitempty"`
}

func TestWhatChangedIsNamed(t *testing.T) {
	t.Parallel()
	value := func() *outer {
		return &outer{
			Name: "a", Count: ptr.To[int32](1), Plain: inner{Paths: []string{"/a", "/b"}},
			Inner: &inner{Memory: ptr.To(resource.MustParse("1Gi"))},
		}
	}
	for name, c := range map[string]struct {
		change func(*outer)
		want   []string
	}{
		"nothing":                      {func(*outer) {}, nil},
		"the same in other words":      {func(o *outer) { o.Inner.Memory = ptr.To(resource.MustParse("1024Mi")) }, nil},
		"a text":                       {func(o *outer) { o.Name = "b" }, []string{"spec.name"}},
		"what a pointer points to":     {func(o *outer) { *o.Count = 2 }, []string{"spec.count"}},
		"what is left out":             {func(o *outer) { o.Count, o.Inner = nil, nil }, []string{"spec.inner", "spec.count"}},
		"a field of a field":           {func(o *outer) { o.Inner.Memory = ptr.To(resource.MustParse("2Gi")) }, []string{"spec.inner.memory"}},
		"an entry of a list":           {func(o *outer) { o.Plain.Paths[1] = "/c" }, []string{"spec.plain.paths"}},
		"a field of what is put in":    {func(o *outer) { o.Labels = map[string]string{"a": "b"} }, []string{"spec.labels"}},
		"several, each for itself":     {func(o *outer) { o.Name = "b"; o.Plain.Paths = nil }, []string{"spec.name", "spec.plain.paths"}},
		"all of a struct that is left": {func(o *outer) { o.Inner.Memory = nil }, []string{"spec.inner.memory"}},
	} {
		t.Run(name, func(t *testing.T) {
			changed := value()
			c.change(changed)
			var got []string
			for _, err := range Unchanged(changed, value(), apiequality.Semantic.DeepEqual, field.NewPath("spec"), "cannot change") {
				if err.Type != field.ErrorTypeForbidden || err.Detail != "cannot change" {
					t.Error(err)
				}
				got = append(got, err.Field)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
