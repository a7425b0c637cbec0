// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package fakeprovider

import (
	"bytes"
	"net"
	"net/http"
	"time"
)

// writer sends the frames of one answer, and misbehaves on the way.
type writer struct {
	w     http.ResponseWriter
	r     *http.Request
	p     protocol
	reply *Reply
}

func (w *writer) stream(frames []frame) {
	if w.reply.Accent == AccentWhole && len(frames) == 1 {
		w.w.Header().Set("Content-Type", "application/json")
		_, _ = w.w.Write(frames[0].data)
		return
	}
	h := w.w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	w.w.WriteHeader(http.StatusOK)
	w.flush()
	for range w.reply.KeepAlive {
		if !w.wait(w.reply.Pace) || !w.write(w.p.keepAlive()) {
			return
		}
	}
	for i, f := range frames {
		switch {
		case w.reply.Cut != nil && at(w.reply.Cut.At, len(frames)) == i:
			w.cut(w.reply.Cut.How)
			return
		case w.reply.InBand != nil && at(w.reply.InBand.At, len(frames)) == i:
			w.write(w.render(w.p.inBand(w.reply.InBand)))
			return
		case w.reply.Stall != nil && at(*w.reply.Stall, len(frames)) == i:
			<-w.r.Context().Done()
			return
		}
		if f.delta && !w.turn() {
			return
		}
		if !w.write(w.render(f)) {
			return
		}
	}
	switch {
	case w.reply.BreakAfter:
		w.cut(Abort)
	case w.reply.StallAfter:
		<-w.r.Context().Done()
	}
}

func at(n, total int) int {
	if n < 0 {
		return total + n
	}
	return n
}

// turn waits until the next delta may go.
func (w *writer) turn() bool {
	if w.reply.Gate != nil {
		select {
		case <-w.reply.Gate:
		case <-w.r.Context().Done():
			return false
		}
	}
	return w.wait(w.reply.Pace)
}

func (w *writer) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-w.r.Context().Done():
		return false
	}
}

func (w *writer) render(f frame) []byte {
	end := "\n"
	if w.reply.CRLF || w.p.crlf() {
		end = "\r\n"
	}
	var b bytes.Buffer
	if f.event != "" {
		b.WriteString("event: " + f.event + end)
	}
	b.WriteString("data: ")
	b.Write(f.data)
	b.WriteString(end + end)
	return b.Bytes()
}

func (w *writer) write(b []byte) bool {
	step := len(b)
	if w.reply.Split > 0 {
		step = w.reply.Split
	}
	for len(b) > 0 {
		n := min(step, len(b))
		if _, err := w.w.Write(b[:n]); err != nil {
			return false
		}
		w.flush()
		b = b[n:]
	}
	return true
}

func (w *writer) flush() { _ = http.NewResponseController(w.w).Flush() }

func (w *writer) cut(how How) {
	switch how {
	case Clean:
		return
	case Reset:
		if conn, _, err := http.NewResponseController(w.w).Hijack(); err == nil {
			if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
				conn = t.NetConn()
			}
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
			_ = conn.Close()
			return
		}
	}
	panic(http.ErrAbortHandler)
}
