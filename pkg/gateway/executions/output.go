// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package executions

import (
	"strings"
	"unicode/utf8"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

const (
	// logHead and logTail are what is kept of each stream, at its source and in the
	// journal.
	logHead = 512 << 10
	logTail = 512 << 10
	// statusHead and statusTail are what the status has of it. JSON may need six
	// bytes for one of them.
	statusHead = 16 << 10
	statusTail = 16 << 10
)

// capture keeps the beginning and the end of one stream.
type capture struct {
	head, tail []byte
	end        uint64 // offset behind what came last
	gap        bool   // something was left out on the way
}

// skipped is how much lies between what came last and offset.
func (c *capture) skipped(offset uint64) int64 {
	if offset <= c.end {
		return 0
	}
	return int64(offset - c.end)
}

// add takes in data at an offset.
func (c *capture) add(offset uint64, data []byte) {
	if offset > c.end {
		c.gap = true
		c.end = offset
		// What comes after a gap is the end, whatever the beginning still has
		// room for.
		c.tail = c.tail[:0]
	}
	c.end += uint64(len(data))
	if !c.gap {
		n := min(len(data), statusHead-len(c.head))
		c.head = append(c.head, data[:n]...)
		data = data[n:]
	}
	c.tail = append(c.tail, data...)
	if cut := len(c.tail) - statusTail; cut > 0 {
		c.tail = append(c.tail[:0], c.tail[cut:]...)
		c.gap = true
	}
}

// output is what the status says of the stream, of which sandboxd counted total
// bytes; nil if there was nothing.
func (c *capture) output(total uint64) *v1.ExecutionOutput {
	total = max(min(total, 1<<62), c.end)
	if total == 0 {
		return nil
	}
	out := &v1.ExecutionOutput{TotalBytes: int64(total), Truncated: c.gap || total > c.end}
	if !out.Truncated {
		out.Head = text(append(c.head[:len(c.head):len(c.head)], c.tail...))
		return out
	}
	// Where something is left out, half a character at the cut is left out, too.
	out.Head = text(trimEnd(c.head))
	out.Tail = text(trimStart(c.tail))
	return out
}

// text stands U+FFFD for what is no UTF-8.
func text(data []byte) string { return strings.ToValidUTF8(string(data), "\uFFFD") }

// trimEnd cuts off the beginning of a character whose rest is missing.
func trimEnd(data []byte) []byte {
	for i := 1; i <= min(utf8.UTFMax-1, len(data)); i++ {
		if b := data[len(data)-i]; utf8.RuneStart(b) {
			if !utf8.FullRune(data[len(data)-i:]) {
				return data[:len(data)-i]
			}
			break
		}
	}
	return data
}

// trimStart cuts off the rest of a character whose beginning is missing.
func trimStart(data []byte) []byte {
	for i := range min(utf8.UTFMax-1, len(data)) {
		if utf8.RuneStart(data[i]) {
			return data[i:]
		}
	}
	return data
}
