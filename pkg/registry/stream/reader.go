// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"fmt"
)

// Record is one numbered line.
type Record struct {
	Number int64
	// Data is one JSON object without line breaks. It is shared by all
	// readers: nobody changes it.
	Data []byte
}

// Reader gives the records after a cursor.
type Reader interface {
	// Next waits until there is at least one further record and returns all
	// that are there, up to the reader's own bound. It returns io.EOF when no
	// further record will ever come, or, not following, when there is none
	// now. When ctx ends it returns the error of ctx and loses nothing: Next
	// may be called again. The slice is valid until the next call.
	Next(ctx context.Context) ([]Record, error)
	// Close gives back what the reader holds. It is called once.
	Close()
}

// CursorError says that a cursor names a place that cannot be read from. It
// becomes a 410.
type CursorError struct {
	// After is the cursor, Last the number of the last record there is.
	After, Last int64
	// Oldest is the number of the oldest record there is, if those after the
	// cursor have been dropped; else 0.
	Oldest int64
}

func (e *CursorError) Error() string {
	if e.Oldest > 0 {
		return fmt.Sprintf("the records after %d are gone, the oldest there is is %d: read again with after=%d", e.After, e.Oldest, e.Oldest-1)
	}
	return fmt.Sprintf("after=%d lies in the future, the last record there is is %d: read again with after=%d or less", e.After, e.Last, e.Last)
}
