// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

// Failed returns the error that ended all writing, nil if there is none. Unlike
// the errors of Ready, some of which pass, it calls for a restart: it is what
// liveness is about.
func (db *DB) Failed() error { return db.failed() }
