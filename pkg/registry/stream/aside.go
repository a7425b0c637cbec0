// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package stream

// Aside runs f on a stack of its own and returns when f has. What a goroutine's
// stack has grown to it mostly keeps, and that of a request is deep before its
// handler begins: a stream that calls deeper still, once, at its beginning, holds
// twice the stack for as long as it lasts. A panic of f is that of the caller.
func Aside(f func()) {
	done := make(chan any, 1)
	go func() {
		defer func() { done <- recover() }()
		f()
	}()
	if r := <-done; r != nil {
		panic(r)
	}
}
