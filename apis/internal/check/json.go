// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"encoding/json"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Object wants a JSON object of at most limit bytes and returns its members.
// Unset is fine.
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
