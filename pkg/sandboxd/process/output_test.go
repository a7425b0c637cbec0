// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
)

func fill(l *outputLog, s Stream, data string) {
	for len(data) > 0 {
		b := buffers.Get().(*[]byte)
		n := copy(*b, data)
		l.append(s, b, n)
		data = data[n:]
	}
}

// read takes all there is after a number.
func read(l *outputLog, after uint64) (chunks []Chunk, last uint64) {
	for {
		c, ok, _, _ := l.next(after)
		if !ok {
			return chunks, after
		}
		c.Data = bytes.Clone(c.Data)
		chunks = append(chunks, c)
		after = c.Number
	}
}

func TestChunksAreNumberedOverBothStreams(t *testing.T) {
	l := newOutputLog(OutputPolicy{})
	fill(l, Stdout, "a")
	fill(l, Stderr, "b")
	fill(l, Stderr, "c") // nobody has seen b yet: one chunk
	fill(l, Stdout, "d")
	chunks, last := read(l, 0)
	var got string
	for _, c := range chunks {
		got += fmt.Sprintf("%d:%d@%d=%s ", c.Number, c.Stream, c.Offset, c.Data)
	}
	if got != "1:0@0=a 2:1@0=bc 3:0@1=d " {
		t.Errorf("got %s", got)
	}
	fill(l, Stdout, "e") // d has been seen: it may not grow
	if more, _ := read(l, last); len(more) != 1 || more[0].Number != 4 || string(more[0].Data) != "e" {
		t.Errorf("got %v", more)
	}
}

func TestWhatIsNotAcknowledgedIsReadAgain(t *testing.T) {
	l := newOutputLog(OutputPolicy{})
	for i := range 10 {
		fill(l, Stdout, fmt.Sprint(i))
		read(l, uint64(i))
	}
	l.acknowledge(4)
	l.acknowledge(2) // what is gone stays gone
	if chunks, _ := read(l, 0); len(chunks) != 6 || chunks[0].Number != 5 {
		t.Errorf("got %v", chunks)
	}
	if chunks, _ := read(l, 7); len(chunks) != 3 || chunks[0].Number != 8 {
		t.Errorf("after 7: %v", chunks)
	}
	l.acknowledge(1 << 60) // a number that was never given acknowledges what was
	if chunks, _ := read(l, 0); len(chunks) != 0 {
		t.Errorf("got %v", chunks)
	}
}

func TestAWriterWaitsForTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newOutputLog(OutputPolicy{Window: MaxWindow})
		written := make(chan int)
		go func() {
			data := string(make([]byte, maxChunk))
			for i := range 100 {
				fill(l, Stdout, data)
				if i == 99 {
					close(written)
				}
			}
		}()
		synctest.Wait()
		select {
		case <-written:
			t.Fatal("the writer did not wait")
		default:
		}
		if l.held > MaxWindow+maxChunk+chunkOverhead {
			t.Errorf("%d bytes are held", l.held)
		}
		total := 0
		for after := uint64(0); total < 100*maxChunk; {
			chunks, last := read(l, after)
			for _, c := range chunks {
				total += len(c.Data)
			}
			after = last
			l.acknowledge(last)
			synctest.Wait()
		}
		<-written
	})
}

func TestAWriterOfSingleBytesIsBounded(t *testing.T) {
	l := newOutputLog(OutputPolicy{Capped: true, Head: MaxHead})
	for i := range 5000 {
		fill(l, Stdout, "x")
		read(l, uint64(i)) // seen at once, so that nothing can be put together
	}
	if want := 5000 * (1 + chunkOverhead); l.held != want {
		t.Errorf("%d bytes are held for, want %d", l.held, want)
	}
}

func TestAnAbandonedLogHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newOutputLog(OutputPolicy{})
		done := make(chan struct{})
		go func() { fill(l, Stdout, string(make([]byte, 4*MaxWindow))); close(done) }()
		synctest.Wait()
		l.abandon()
		<-done
		if l.held != 0 || l.total(Stdout) != 4*MaxWindow {
			t.Errorf("%d held, %d counted", l.held, l.total(Stdout))
		}
	})
}

// Whatever is written in whatever pieces: head, tail and total are those of the
// whole.
func TestACapKeepsHeadTailAndTotal(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		policy := OutputPolicy{Capped: true, Head: random.IntN(100), Tail: random.IntN(100)}
		l := newOutputLog(policy)
		var whole [streams][]byte
		for range random.IntN(30) {
			s := Stream(random.IntN(2))
			piece := make([]byte, 1+random.IntN(80))
			for i := range piece {
				piece[i] = byte('a' + random.IntN(26))
			}
			whole[s] = append(whole[s], piece...)
			fill(l, s, string(piece))
			if random.IntN(3) == 0 {
				read(l, 0)
			}
		}
		l.close()
		chunks, _ := read(l, 0)
		var got [streams][]byte
		var at [streams]uint64
		for i, c := range chunks {
			if c.Number != uint64(i+1) {
				t.Fatalf("chunk %d has the number %d", i+1, c.Number)
			}
			if c.Offset != at[c.Stream] && c.Offset != uint64(max(0, len(whole[c.Stream])-policy.Tail)) && c.Offset != uint64(policy.Head) {
				t.Fatalf("a chunk at %d after %d", c.Offset, at[c.Stream])
			}
			got[c.Stream] = append(got[c.Stream], c.Data...)
			at[c.Stream] = c.Offset + uint64(len(c.Data))
		}
		for s := range whole {
			want := whole[s]
			if len(want) > policy.Head+policy.Tail {
				want = append(bytes.Clone(want[:policy.Head]), want[len(want)-policy.Tail:]...)
			}
			if !bytes.Equal(got[s], want) || l.total(Stream(s)) != uint64(len(whole[s])) {
				t.Fatalf("head %d, tail %d of %q: got %q, %d counted", policy.Head, policy.Tail, whole[s], got[s], l.total(Stream(s)))
			}
		}
	}
}

func TestStdinIsTakenOnceAndWithinItsWindow(t *testing.T) {
	q := newStdinQueue()
	for _, c := range []struct {
		offset uint64
		data   string
		ok     bool
	}{
		{0, "abc", true}, {0, "abc", true}, {2, "cd", true}, {5, "f", false}, {4, "ef", true}, {1, "b", true},
		{6, string(make([]byte, StdinWindow)), false},
	} {
		if err := q.put(c.offset, []byte(c.data), false); (err == nil) != c.ok {
			t.Errorf("%q at %d: %v", c.data[:min(len(c.data), 5)], c.offset, err)
		}
	}
	var got bytes.Buffer
	q.put(6, nil, true)
	ended := false
	q.copyTo(&got, func() { ended = true })
	if got.String() != "abcdef" || !ended {
		t.Errorf("got %q, ended %v", got.String(), ended)
	}
}

func TestACapBoundsTheChunksToo(t *testing.T) {
	l := newOutputLog(OutputPolicy{Capped: true, Head: 64 << 10, Tail: 1 << 10})
	const written = 50_000
	read := uint64(0)
	take := func() {
		for {
			chunk, ok, _, _ := l.next(read)
			if !ok {
				return
			}
			read = chunk.Number
		}
	}
	for range written {
		buffer := buffers.Get().(*[]byte)
		(*buffer)[0] = 'x'
		l.append(Stdout, buffer, 1)
		take() // each is handed out by itself
	}
	l.close()
	take()
	if most := uint64(l.policy.pieces() + 1); read > most || l.total(Stdout) != written {
		t.Errorf("%d chunks of %d bytes, %d counted", read, written, l.total(Stdout))
	}
}
