// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"bytes"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/versioning"
)

// NewCodec returns the codec that objects are stored with: JSON of the version
// stored, the Go types of the version memory. A Factory has both the same, the
// types that registries work on, and no internal version between.
func NewCodec(scheme *runtime.Scheme, stored, memory runtime.GroupVersioner) runtime.Codec {
	s := json.NewSerializerWithOptions(kindFirst{}, scheme, scheme, json.SerializerOptions{})
	return newWrittenCodec(versioning.NewDefaultingCodecForScheme(scheme, s, s, stored, memory), scheme, stored)
}

// kindFirst finds the kind of an object where the encoder of a Go type has put
// it: in front of everything else. Kubernetes' own way is to parse all of the
// object for these two fields and then once more for the rest, which is a third
// of what decoding costs. Data that begins otherwise is left to it.
type kindFirst struct{}

var (
	kindField       = []byte(`{"kind":"`)
	apiVersionField = []byte(`","apiVersion":"`)
)

func (kindFirst) Interpret(data []byte) (*schema.GroupVersionKind, error) {
	kind, version, ok := leadingTypeMeta(data)
	if !ok {
		return json.DefaultMetaFactory.Interpret(data)
	}
	gv, err := schema.ParseGroupVersion(version)
	if err != nil {
		return nil, err
	}
	return &schema.GroupVersionKind{Group: gv.Group, Version: gv.Version, Kind: kind}, nil
}

// leadingTypeMeta takes the two values off the front of data, if they are there
// and in letters that JSON does not escape.
func leadingTypeMeta(data []byte) (kind, version string, ok bool) {
	rest, ok := bytes.CutPrefix(data, kindField)
	if !ok {
		return "", "", false
	}
	k := plain(rest)
	rest, ok = bytes.CutPrefix(rest[k:], apiVersionField)
	if !ok {
		return "", "", false
	}
	v := plain(rest)
	if k == 0 || v == 0 || v == len(rest) || rest[v] != '"' {
		return "", "", false
	}
	return string(data[len(kindField) : len(kindField)+k]), string(rest[:v]), true
}

// plain returns how many letters, digits and marks of names b begins with.
func plain(b []byte) int {
	for i, c := range b {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '/', c == '-':
		default:
			return i
		}
	}
	return len(b)
}
