// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// MaxDepth is how deep JSON in an object may be nested. Decoders give up at 10000,
// counted from the outside of what they decode: an object that was stored with more
// around it than it came with, or that is read in a list, could never be read again,
// and with it none of its resource.
const MaxDepth = 100

// Depth is how deep JSON is nested.
func Depth(data []byte) int {
	depth, most, quoted := 0, 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			most = max(most, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return most
}

// Object wants a JSON object of at most limit bytes and MaxDepth, and returns its
// members. Unset is fine.
func Object(raw *runtime.RawExtension, limit int, path *field.Path) (map[string]json.RawMessage, field.ErrorList) {
	if raw == nil || len(raw.Raw) == 0 {
		return nil, nil
	}
	if len(raw.Raw) > limit {
		return nil, field.ErrorList{field.TooLong(path, "", limit)}
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw.Raw, &members); err != nil || members == nil {
		return nil, field.ErrorList{hidden(path, "must be a JSON object")}
	}
	if depth := Depth(raw.Raw); depth > MaxDepth {
		return nil, field.ErrorList{hidden(path, fmt.Sprintf("is nested %d deep: must be at most %d", depth, MaxDepth))}
	}
	return members, nil
}

// Schema wants a JSON Schema that describes an object. Unset is fine.
func Schema(raw *runtime.RawExtension, limit int, path *field.Path) field.ErrorList {
	members, errs := Object(raw, limit, path)
	if kind, ok := members["type"]; ok && string(kind) != `"object"` {
		errs = append(errs, hidden(path.Child("type"), `must be "object": it describes an object with one property for each value`))
	}
	return errs
}
