// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	"bytes"
	"encoding/json"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
)

// Semantic compares objects by what they mean. Beyond apimachinery's rules,
// JSON that objects carry (tool parameters, schemas, tool input) is equal
// whatever its spaces and the order of its members: clients write it anew each
// time, and the store compacts it.
var Semantic = apiequality.Semantic.Copy()

func init() {
	if err := Semantic.AddFuncs(equalJSON); err != nil {
		panic(err)
	}
}

func equalJSON(a, b runtime.RawExtension) bool {
	if bytes.Equal(a.Raw, b.Raw) {
		return apiequality.Semantic.DeepEqual(a.Object, b.Object)
	}
	var left, right any
	return unmarshalExact(a.Raw, &left) == nil && unmarshalExact(b.Raw, &right) == nil &&
		apiequality.Semantic.DeepEqual(left, right)
}

// unmarshalExact keeps numbers as they are written: two that differ beyond
// float64 are not the same.
func unmarshalExact(data []byte, into *any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	return decoder.Decode(into)
}
