// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package turns runs turns: it matches queued turns with the jobs that wait
// for them, numbers and keeps the events that jobs stream back, hands them to
// live readers, and brings every turn to its one terminal phase.
//
// Laws:
//   - A turn, once acknowledged, reaches exactly one terminal phase, whatever
//     dies. The commit point is the write of its terminal status; the log, the
//     conversation and the head follow from it and are repaired from it.
//   - Commit before publish: nobody sees the terminal event, or that an attempt
//     has failed, before the status that says so is durable.
//   - Who saw the terminal status reads its event, and finds what the turn said
//     in the log: reading waits for what follows from the commit.
//   - What ends a turn is seen through whatever becomes of the job's or the
//     user's connection; a write that fails is repeated until the process ends.
//     Every write may be repeated: its outcome may be unknown.
//   - A turn is deleted after what it said is in the log, and leaves no claim,
//     whenever the deletion comes.
//   - No event number names two different events. Within an attempt the number
//     of an event is the number of its Started event plus the sequence of the
//     job's chunk, so a chunk that is sent again gets the number it had.
//     Numbers are reserved durably in blocks before they are used. After a
//     crash an event that is not a chunk goes past the reservation, behind
//     Resumed {lostFrom, lostTo}.
//   - Only the first turn in its conversation's head runs.
//   - A job is told of a turn once the write that gives it the lease is
//     durable: that of the assignment, or, where a job waits for a turn that
//     is being created, that which stores the turn.
//   - An attempt is fenced by turn UID and attempt number: once its lease is
//     lost, nothing it sends has an effect.
//   - No reader's connection owns anything: a slow one reads from the journal.
//
// Lock order: turn.op (held over writes), then Broker.mu or turn.mu (never
// held over I/O), never two turns' at once.
package turns
