// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import "golang.org/x/sys/unix"

// release unmaps the pages of the checkpoint that the process has looked at. They
// stay in the page cache, from where a page that is read again comes back, with its
// neighbours, by a minor fault; but until they are unmapped they count as memory of
// this process, and that is in the end the whole file.
func (c *checkpointFile) release() {
	// While a transaction is open the map stays where it is, and is at least as long
	// as the transaction says; the file may be longer, and what lies behind the map
	// is somebody else's.
	tx, err := c.begin()
	if err != nil {
		return
	}
	defer func() { _ = tx.Rollback() }() // of a reader: cannot fail
	// The map is shared and read-only, so readers find the same bytes as before.
	start, size := tx.DB().Info().Data, uintptr(tx.Size())
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, start, size, unix.MADV_DONTNEED) // advice: nothing is lost without it
}
