// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package events

import (
	"context"
	"fmt"
	"sync"

	"safebeam.dev/safebeam/pkg/journal"
)

// ReserveBlock is how many event numbers are reserved at once. A block holds
// what a usual source has to say.
const ReserveBlock = 4096

// Reservation reserves the event numbers of one source durably before they are
// used: after a crash, no number beyond it was ever given out. It is kept as a
// record without data, numbered by the last number reserved.
type Reservation struct {
	journal journal.Journal
	owner   journal.Owner

	// mu is held over writes; only what gives out numbers takes it.
	mu       sync.Mutex
	reserved int64 // the last number that may be used
	// ahead is the block that is being reserved, up to aheadTo.
	ahead   journal.Pending
	aheadTo int64
}

// NewReservation reserves under an owner of its own. The numbers up to reserved
// may be used.
func NewReservation(j journal.Journal, owner journal.Owner, reserved int64) *Reservation {
	return &Reservation{journal: j, owner: owner, reserved: reserved}
}

// Reserved is the last number that may be used.
func (r *Reservation) Reserved() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reserved
}

// Recover raises what may be used to what was reserved before a crash.
func (r *Reservation) Recover(reserved int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reserved = max(r.reserved, reserved)
}

// UpTo returns once numbers up to n may be used. It waits for the disk only
// where the block reserved ahead is used up.
func (r *Reservation) UpTo(ctx context.Context, n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if r.ahead == nil && n+ReserveBlock/4 > r.reserved {
			r.aheadTo = r.reserved + ReserveBlock
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

// With reserves numbers up to n ahead of a write of the caller's: they may be
// used once that is durable.
func (r *Reservation) With(ctx context.Context, n int64) error {
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
