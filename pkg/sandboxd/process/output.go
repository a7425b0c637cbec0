// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"sync"
)

// Stream is one of a process's two outputs.
type Stream int

const (
	Stdout Stream = iota
	Stderr
	streams
)

// OutputPolicy bounds an output log.
type OutputPolicy struct {
	// Capped keeps Head bytes of the beginning, less of very many small pieces, and
	// Tail bytes of the end of each stream, and the writer never waits. Otherwise it waits while Window bytes
	// are unacknowledged.
	Capped     bool
	Window     int
	Head, Tail int
}

// Bounds and defaults of a policy.
const (
	DefaultWindow = 256 << 10
	MaxWindow     = 1 << 20
	MaxHead       = 1 << 20
	MaxTail       = 1 << 20

	// chunkOverhead is charged for every chunk beside its bytes, so that a guest
	// that writes single bytes holds no more memory than one that writes pages.
	chunkOverhead = 128
	// A capped stream has no more chunks of its beginning than Head over pieceBytes,
	// or minPieces if that is more, so that single bytes do not make a log of many
	// times its size.
	pieceBytes = 16
	minPieces  = 1024
	// mergeBelow is the size up to which small writes that nobody has read yet
	// are put together.
	mergeBelow = 16 << 10
	// maxChunk bounds a chunk: with its envelope it fits the 32 KiB that gRPC has
	// buffers for; the next size it has is 1 MiB.
	maxChunk = 32<<10 - 128
	// ownAbove is the size from which a chunk keeps the buffer it was read into.
	ownAbove = 8 << 10
)

func (p OutputPolicy) pieces() int { return max(p.Head/pieceBytes, minPieces) }

func (p OutputPolicy) bounded() OutputPolicy {
	if p.Window <= 0 {
		p.Window = DefaultWindow
	}
	p.Window = min(max(p.Window, maxChunk), MaxWindow)
	p.Head = min(max(p.Head, 0), MaxHead)
	p.Tail = min(max(p.Tail, 0), MaxTail)
	return p
}

// A Chunk is one numbered piece of output.
type Chunk struct {
	Number uint64
	Stream Stream
	// Offset of the first byte within the stream, counting what was dropped.
	Offset uint64
	Data   []byte

	// buffer is what Data lies in, if it goes back to the pool.
	buffer *[]byte
}

// outputLog is the output of one process between its pipes and its reader.
//
//	pipes → append → [ chunks: acknowledged | handed out | waiting ] → next → reader
//	                   ^ acknowledge drops
type outputLog struct {
	policy OutputPolicy

	mu     sync.Mutex
	room   sync.Cond     // held shrank, or abandoned
	change chan struct{} // closed, and made anew, when there is more to read

	chunks  []Chunk // unacknowledged, by number
	last    uint64  // number of the newest chunk
	handed  uint64  // number of the newest chunk that a reader has seen
	held    int     // what chunks cost
	totals  [streams]uint64
	heads   [streams]int // bytes kept as head
	pieces  [streams]int // and the chunks that they came in
	tails   [streams]*ring
	closed  bool
	dropped bool // nobody will read any more
}

func newOutputLog(policy OutputPolicy) *outputLog {
	l := &outputLog{policy: policy.bounded(), change: make(chan struct{})}
	l.room.L = &l.mu
	return l
}

// append adds the first n bytes of a pooled buffer of maxChunk bytes, which it
// takes over. It waits for room if the policy says so.
func (l *outputLog) append(s Stream, buffer *[]byte, n int) {
	data := (*buffer)[:n]
	l.mu.Lock()
	defer l.mu.Unlock()
	owned := false
	if l.policy.Capped {
		l.appendCapped(s, data)
	} else {
		for l.held >= l.policy.Window && !l.dropped {
			l.room.Wait()
		}
		if !l.dropped {
			if owned = n >= ownAbove; owned {
				l.push(Chunk{Stream: s, Offset: l.totals[s], Data: data, buffer: buffer})
			} else {
				l.add(s, l.totals[s], data)
			}
		}
		l.totals[s] += uint64(n)
	}
	if !owned {
		buffers.Put(buffer)
	}
}

func (l *outputLog) appendCapped(s Stream, data []byte) {
	if !l.dropped {
		if n := min(len(data), l.policy.Head-l.heads[s]); n > 0 {
			before := l.last
			l.add(s, l.totals[s], data[:n])
			l.heads[s] += n
			if l.pieces[s] += int(l.last - before); l.pieces[s] >= l.policy.pieces() {
				l.heads[s] = l.policy.Head // that is enough
			}
			l.totals[s] += uint64(n)
			data = data[n:]
		}
		if len(data) > 0 && l.policy.Tail > 0 {
			if l.tails[s] == nil {
				l.tails[s] = &ring{limit: l.policy.Tail}
			}
			l.tails[s].write(data)
		}
	}
	l.totals[s] += uint64(len(data))
}

// add copies data into a chunk, or lengthens the newest one if nobody has seen it.
func (l *outputLog) add(s Stream, offset uint64, data []byte) {
	if n := len(l.chunks); n > 0 && len(data) < mergeBelow {
		newest := &l.chunks[n-1]
		if newest.Number > l.handed && newest.Stream == s && newest.buffer == nil && len(newest.Data)+len(data) <= mergeBelow &&
			newest.Offset+uint64(len(newest.Data)) == offset {
			newest.Data = append(newest.Data, data...)
			l.held += len(data)
			return
		}
	}
	l.push(Chunk{Stream: s, Offset: offset, Data: append([]byte(nil), data...)})
}

func (l *outputLog) push(c Chunk) {
	l.last++
	c.Number = l.last
	l.chunks = append(l.chunks, c)
	l.held += len(c.Data) + chunkOverhead
	l.signal()
}

func (l *outputLog) signal() {
	close(l.change)
	l.change = make(chan struct{})
}

// close adds the tails. Later appends change the totals alone.
func (l *outputLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	for s, tail := range l.tails {
		if tail == nil {
			continue
		}
		data := tail.bytes()
		l.tails[s] = nil
		offset := l.totals[s] - uint64(len(data))
		for len(data) > 0 && !l.dropped {
			n := min(len(data), maxChunk)
			l.add(Stream(s), offset, data[:n])
			offset += uint64(n)
			data = data[n:]
		}
	}
	l.closed = true
	l.signal()
}

// next returns the first chunk after a number. Without one, it returns whether
// there will ever be one, and a channel that is closed when to look again.
func (l *outputLog) next(after uint64) (chunk Chunk, ok, closed bool, change <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := l.index(after + 1); i < len(l.chunks) {
		chunk = l.chunks[i]
		l.handed = max(l.handed, chunk.Number)
		return chunk, true, false, nil
	}
	return Chunk{}, false, l.closed, l.change
}

// lost reports whether chunks after a number were dropped before anybody said that
// they are safe.
func (l *outputLog) lost(after uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped && after < l.last
}

// index is where the chunk of that number is, or the first after it.
func (l *outputLog) index(number uint64) int {
	if len(l.chunks) == 0 || number <= l.chunks[0].Number {
		return 0
	}
	// Numbers have no holes.
	return int(min(number-l.chunks[0].Number, uint64(len(l.chunks))))
}

// resume frees what a reader that comes again says it has.
func (l *outputLog) resume(after uint64) {
	l.mu.Lock()
	l.handed = max(l.handed, min(after, l.last))
	l.mu.Unlock()
	l.acknowledge(after)
}

// acknowledge frees the chunks up to number, as far as they were handed out. What
// was acknowledged has left this process, so its buffers are nobody's.
func (l *outputLog) acknowledge(number uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.index(min(number, l.handed) + 1)
	if n == 0 {
		return
	}
	for _, c := range l.chunks[:n] {
		l.held -= len(c.Data) + chunkOverhead
		if c.buffer != nil {
			buffers.Put(c.buffer)
		}
	}
	rest := copy(l.chunks, l.chunks[n:])
	clear(l.chunks[rest:])
	l.chunks = l.chunks[:rest]
	l.room.Broadcast()
}

// abandon drops everything: nobody will read any more, and the writer must not
// wait for anybody.
func (l *outputLog) abandon() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropped = true
	l.chunks, l.held = nil, 0
	l.tails = [streams]*ring{}
	l.room.Broadcast()
}

func (l *outputLog) total(s Stream) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.totals[s]
}
