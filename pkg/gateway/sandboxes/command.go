// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxes

import (
	"io"
	"syscall"
	"time"

	sandboxpb "safebeam.dev/safebeam/proto/sandbox/v1"
)

// A Command is what Run runs.
type Command struct {
	// ID names the process in its sandbox. It is run at most once.
	ID   string
	Argv []string
	Env  []EnvVar
	Dir  string
	// TTY gives it a terminal.
	TTY *WindowSize
	// Output: without a cap, nothing is lost and a reader that does not read makes
	// the process wait.
	Output OutputPolicy
	// Timeout ends it with exit code 124; zero is none. Grace lies between SIGTERM
	// and SIGKILL; zero is sandboxd's default.
	Timeout, Grace time.Duration
	// Survive keeps it running when Run's context ends, or the gateway. Otherwise
	// it is stopped.
	Survive bool
	// EndLeftover ends what is left of its process group when it has exited.
	EndLeftover bool
}

// OutputPolicy caps each stream at Head bytes from its beginning and Tail bytes
// from its end, if it is Capped.
type OutputPolicy struct {
	Capped     bool
	Head, Tail uint32
}

// WindowSize of a terminal.
type WindowSize struct{ Rows, Cols uint32 }

// A Chunk of output. Numbers are 1, 2, 3 … without a hole, over both streams.
// Offset counts what a cap dropped.
type Chunk struct {
	Number uint64
	Stderr bool
	Offset uint64
	Data   []byte
}

// Streams of a command.
type Streams struct {
	// Stdin may be nil. It is read by a goroutine of its own, which ends when Read
	// returns after Run has: the caller sees to that.
	Stdin io.Reader
	// StdinFrom is Stdin of Attach: it reads the same stdin from an offset on, which
	// is what sandboxd says it has, bounded by nothing. It may be nil.
	StdinFrom func(offset uint64) io.Reader
	// Output gets every chunk once, in order, and keeps none of its data. An error
	// ends Run.
	Output func(Chunk) error
	// Kept says up to which number the chunks are safe with the caller. Without it
	// each is when Output returns. What is not safe, sandboxd keeps.
	Kept <-chan uint64
	// Commit is called with the exit before sandboxd forgets the process. If it
	// fails, that is Run's error, and the process can be attached to again.
	Commit func(Exit) error
	// Started is called once with the time of the start; it may be nil.
	Started func(time.Time)
	// Resize and Signals may be nil.
	Resize  <-chan WindowSize
	Signals <-chan syscall.Signal
}

// Exit is the end of a process.
type Exit struct {
	Code                     int
	Signal                   syscall.Signal
	Reason                   sandboxpb.Exited_Reason
	Message                  string
	StdoutBytes, StderrBytes uint64
	Start, End               time.Time
	UserTime, SystemTime     time.Duration
	MaxRSS                   uint64
}

// A StartError says that the process was not started, and why.
type StartError struct {
	Reason  sandboxpb.NotStarted_Reason
	Message string
}

func (e *StartError) Error() string { return e.Message }
