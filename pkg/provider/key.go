// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
)

// redacted stands where a key was.
const redacted = "[redacted]"

// MinPiece is the shortest piece of a key that is blotted out. Providers quote
// a refused key in their messages, sometimes cut; what is shorter than this
// cannot be told from ordinary words, and opens nothing.
const MinPiece = 12

// Key is an API key. It cannot be printed, and only Transport reads it.
type Key struct {
	value string
}

// NewKey holds s.
func NewKey(s string) *Key { return &Key{value: s} }

// String keeps the key out of anything that is formatted.
func (k *Key) String() string { return redacted }

// Format does the same for every verb, %#v and %x included.
func (k *Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText does the same for encoders and structured logs.
func (k *Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Redact blots the key out of s: as it is, in the encodings in which a server
// might repeat it, and in pieces of at least MinPiece bytes.
func (k *Key) Redact(s string) string {
	if k == nil || k.value == "" {
		return s
	}
	for _, form := range []string{
		k.value,
		url.QueryEscape(k.value),
		url.PathEscape(k.value),
		base64.StdEncoding.EncodeToString([]byte(k.value)),
	} {
		s = strings.ReplaceAll(s, form, redacted)
	}
	return redactPieces(s, k.value)
}

func redactPieces(s, key string) string {
	if len(key) < MinPiece {
		return s
	}
	var out strings.Builder
	from := 0
	for i := 0; i+MinPiece <= len(s); {
		at := strings.Index(key, s[i:i+MinPiece])
		if at < 0 {
			i++
			continue
		}
		n := MinPiece
		for i+n < len(s) && at+n < len(key) && s[i+n] == key[at+n] {
			n++
		}
		out.WriteString(s[from:i])
		out.WriteString(redacted)
		i += n
		from = i
	}
	out.WriteString(s[from:])
	return out.String()
}
