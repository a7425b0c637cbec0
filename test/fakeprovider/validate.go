// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package fakeprovider

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

func fields(names string) []string { return strings.Fields(names) }

// onlyFields refuses top-level fields that the service does not know.
func onlyFields(body []byte, known []string) error {
	var top map[string]json.RawMessage
	if err := json.Unmarshal(body, &top); err != nil {
		return fmt.Errorf("the body is not a JSON object: %w", err)
	}
	for name := range top {
		if !slices.Contains(known, name) {
			return fmt.Errorf("%s: Extra inputs are not permitted", name)
		}
	}
	return nil
}

func isObject(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) > 0 && raw[0] == '{' && json.Valid(raw)
}
