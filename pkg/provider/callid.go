// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"crypto/rand"
	"encoding/hex"
)

// MintCallID names a tool call whose provider gave it no name. Some servers
// name every call of every answer alike, so that the name alone would not tell
// which result belongs to which call.
func MintCallID() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return "call_" + hex.EncodeToString(b[:])
}
