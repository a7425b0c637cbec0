// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package check has the rules for single values that the validation of both
// API groups is made of.
//
// Laws:
//   - An error names the field, what is wrong and the way out.
//   - No error repeats a text, picture or JSON document that a user sent: it
//     may be large, and it may be private.
//   - The server's state is not looked at: what an object alone cannot decide
//     is its strategy's or the gateway's to decide.
package check
