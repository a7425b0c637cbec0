// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package fakeprovider

import (
	"fmt"
	"sync"
)

// memory is what the server gave out and wants back unchanged.
type memory struct {
	mu sync.Mutex
	// signed is what each signature was made for, by model.
	signed map[string]string
	// calls are the tool calls that came of thinking: they may only come back
	// behind it.
	calls map[string]string
	// loose are the calls that came of thinking which cannot be sent back.
	loose map[string]bool
}

// sign remembers that signature was made for content, by model.
func (m *memory) sign(model, signature, content string) {
	if signature == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.signed == nil {
		m.signed = map[string]string{}
	}
	m.signed[model+"\x00"+signature] = content
}

// verify says what is wrong with a signature that came back.
func (m *memory) verify(model, signature, content string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	was, ok := m.signed[model+"\x00"+signature]
	switch {
	case !ok:
		return fmt.Errorf("signature %q was not made by model %s", signature, model)
	case was != content:
		return fmt.Errorf("signature %q was not made for this content: it was changed", signature)
	}
	return nil
}

// thought remembers that the call came of thinking with that signature.
func (m *memory) thought(model, call, signature string) {
	if signature == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.calls == nil {
		m.calls = map[string]string{}
	}
	m.calls[model+"\x00"+call] = signature
}

// signatureOf is the thinking that a call came of, or empty.
func (m *memory) signatureOf(model, call string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[model+"\x00"+call]
}

// unsigned remembers that the call came of thinking without a signature.
func (m *memory) unsigned(model, call string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.loose == nil {
		m.loose = map[string]bool{}
	}
	m.loose[model+"\x00"+call] = true
}

func (m *memory) isUnsigned(model, call string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.loose[model+"\x00"+call]
}
