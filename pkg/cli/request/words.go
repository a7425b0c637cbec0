// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package request

import (
	"fmt"
	"math"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/utils/ptr"
)

// Seconds is a duration as the API has it, rounded up.
func Seconds(flag string, d time.Duration, least int64) (*int32, error) {
	n := int64(math.Ceil(d.Seconds()))
	if n < least || n > math.MaxInt32 {
		return nil, fmt.Errorf("%s=%s: it must be from %d s to %d s", flag, d, least, math.MaxInt32)
	}
	return ptr.To(int32(n)), nil
}

// NewName makes up a name that fits a DNS subdomain. Names are made up here
// and not by the server, so that a creation can be asked for twice.
func NewName(prefix string) string {
	const longest, random = 253, 8
	if room := longest - random - 1; len(prefix) > room {
		prefix = prefix[:room]
	}
	return prefix + "-" + rand.String(random)
}

// Printable drops control characters: what a model or a sandbox says must not
// move the cursor, set the terminal's title or write to its clipboard.
func Printable(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' && c != '\n' && c != '\t' || c >= 0x7f && c < 0xa0 {
			return -1
		}
		return c
	}, text)
}
