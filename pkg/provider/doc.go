// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package provider is the one face of the language models: a history goes in,
// a stream of normalised events and one result or one typed error come out.
// The packages beneath it speak to one provider each.
//
// Laws that every provider keeps:
//
//   - An answer counts as complete only when the provider said so. A stream
//     that ends without the provider's terminal event is an *Error of class
//     Truncated, however cleanly the connection was closed.
//   - An error inside a stream that began with HTTP 200 is an error like any
//     other, and has a class.
//   - A call is one attempt. No provider retries on its own: retry and
//     fallback are decided by whoever counts attempts.
//   - Rendering is a pure function. The same request gives the same bytes, or
//     the provider's prompt cache would never hit.
//   - What a provider wants back unchanged (a signed thinking block, an
//     encrypted reasoning item, a thought signature) is kept as a native block
//     and goes back to that provider and model alone; to all others it is
//     left out.
//   - Text is valid UTF-8, whatever came, and all that an answer holds, native
//     blocks included, is bounded.
//   - Every tool call in a rendered history is followed by its result, in call
//     order; a call that never got one is answered with an error. A failure is
//     told where the protocol has no mark for it, and an id that a provider
//     would refuse is sent under another name.
//   - The API key is held by one Key, enters a request in Transport and
//     nowhere else, goes to the configured host alone, and is blotted out of
//     every error message.
package provider
