// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package neverlost kills the programs under load and looks whether anything
// that was acknowledged is lost. It runs the real programs: a standalone
// server with its jobs, and a client in a process of its own that writes down
// every acknowledgement before it goes on.
//
// The laws: every acknowledged turn and execution reaches exactly one terminal
// phase; no event number names two different events, and there is no gap but
// Resumed's; each reader that resumes sees one terminal event. The message log
// holds each message once and in order. No execution runs twice: each writes its
// name to a file that the test holds open from outside of the sandbox, so that it
// is read when the sandbox is gone. One that was lost says the sandbox's reason, and
// one that succeeded has lost nothing of what it said.
//
//	NEVERLOST_ROUNDS=200 go test ./test/neverlost -run Kill -timeout 60m
//	NEVERLOST_SEED=…     the seed that a failed run printed
package neverlost
