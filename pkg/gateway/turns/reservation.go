// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"fmt"
	"sync"

	"safebeam.dev/safebeam/pkg/journal"
)

// reserveBlock is how many event numbers are reserved at once. A block holds a
// usual answer, so that most turns reserve once, with their assignment.
const reserveBlock = 4096

// reservation reserves the event numbers of one turn durably before they are
// used: after a crash, no number beyond it was ever given out.
type reservation struct {
	journal journal.Journal
	owner   journal.Owner

	// mu is held over writes; only what gives out numbers takes it.
	mu       sync.Mutex
	reserved int64 // the last number that may be used
	// ahead is the block that is being reserved, up to aheadTo.
	ahead   journal.Pending
	aheadTo int64
}

// upTo returns once numbers up to n may be used. It waits for the disk only
// where the block reserved ahead is used up.
func (r *reservation) upTo(ctx context.Context, n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if r.ahead == nil && n+reserveBlock/4 > r.reserved {
			r.aheadTo = r.reserved + reserveBlock
			r.ahead = r.journal.Stage(ctx, journal.Record{Owner: r.owner, Number: r.aheadTo})
		}
		if n <= r.reserved {
			return nil
		}
		if err := r.ahead.Wait(ctx); err != nil {
			if ctx.Err() == nil {
				r.ahead = nil // it failed; the next one who asks tries again
			}
			return fmt.Errorf("reserving event numbers: %w", err)
		}
		r.reserved, r.ahead = max(r.reserved, r.aheadTo), nil
	}
}

// with reserves numbers up to n ahead of a write of the caller's: they may be
// used once that is durable.
func (r *reservation) with(ctx context.Context, n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n <= r.reserved {
		return nil
	}
	if err := journal.Refused(r.journal.Stage(ctx, journal.Record{Owner: r.owner, Number: n})); err != nil {
		return fmt.Errorf("reserving event numbers: %w", err)
	}
	r.reserved = n
	return nil
}
