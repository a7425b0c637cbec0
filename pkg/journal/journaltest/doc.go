// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package journaltest is the conformance suite of journal.Journal. Every
// implementation runs it; what it does not ask for, no user may rely on.
package journaltest
