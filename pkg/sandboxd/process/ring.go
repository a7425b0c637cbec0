// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package process

// ring keeps the last limit bytes that were written to it. It grows to its limit
// only as far as it is written.
type ring struct {
	limit int
	data  []byte
	start int // of the oldest byte, once data is at its limit
}

func (r *ring) write(p []byte) {
	if len(p) >= r.limit {
		r.data = append(r.data[:0], p[len(p)-r.limit:]...)
		r.start = 0
		return
	}
	if grow := min(r.limit-len(r.data), len(p)); grow > 0 {
		r.data = append(r.data, p[:grow]...)
		p = p[grow:]
	}
	for len(p) > 0 {
		n := copy(r.data[r.start:], p)
		p = p[n:]
		r.start = (r.start + n) % r.limit
	}
}

func (r *ring) bytes() []byte {
	return append(append(make([]byte, 0, len(r.data)), r.data[r.start:]...), r.data[:r.start]...)
}
