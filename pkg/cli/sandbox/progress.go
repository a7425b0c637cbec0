// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"safebeam.dev/safebeam/pkg/cli/request"
)

// progress draws how far a transfer is, on a terminal. On anything else, and if
// it is not wanted, it draws nothing.
type progress struct {
	out    io.Writer
	screen int // the descriptor, -1 without a terminal

	mu      sync.Mutex
	name    string
	done    int64
	total   int64 // 0 is unknown
	begun   time.Time
	drawn   bool
	ticking chan struct{} // closed by stop
	ended   chan struct{}
}

const redraw = 200 * time.Millisecond

func newProgress(out io.Writer, quiet bool) *progress {
	p := &progress{out: out, screen: -1}
	if screen, ok := terminal(out); ok && !quiet {
		p.screen = screen
	}
	return p
}

func (p *progress) shown() bool { return p.screen >= 0 }

// measure finds out how much there is to send.
func (p *progress) measure(file string) error {
	return filepath.WalkDir(file, func(_ string, found fs.DirEntry, err error) error {
		if err != nil || !found.Type().IsRegular() {
			return err
		}
		info, err := found.Info()
		if err == nil {
			p.total += info.Size()
		}
		return err
	})
}

func (p *progress) start(name string) {
	if !p.shown() {
		return
	}
	p.name, p.begun = request.Printable(name), time.Now()
	p.ticking, p.ended = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(p.ended)
		ticks := time.NewTicker(redraw)
		defer ticks.Stop()
		for {
			select {
			case <-p.ticking:
				return
			case now := <-ticks.C:
				p.mu.Lock()
				p.draw(now)
				p.mu.Unlock()
			}
		}
	}()
}

// add tells that n more bytes went through.
func (p *progress) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += int64(n)
}

// aside lets something else be written.
func (p *progress) aside(write func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	write()
}

// stop draws it for the last time. It may be called again.
func (p *progress) stop() {
	if p.ticking == nil {
		return
	}
	close(p.ticking)
	<-p.ended
	p.ticking = nil
	if p.drawn { // a transfer that took no time left nothing
		p.draw(time.Now())
		fmt.Fprintln(p.out)
	}
}

func (p *progress) erase() {
	if p.drawn {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.drawn = false
	}
}

func (p *progress) draw(now time.Time) {
	width := 80
	if w, _, err := term.GetSize(p.screen); err == nil && w > 0 {
		width = w
	}
	fmt.Fprint(p.out, "\r\x1b[K", line(p.name, p.done, p.total, now.Sub(p.begun), width-1))
	p.drawn = true
}

// line is the progress as text, no wider than width.
func line(name string, done, total int64, took time.Duration, width int) string {
	rate := ""
	if seconds := took.Seconds(); seconds > 0 {
		rate = size(int64(float64(done)/seconds)) + "/s"
	}
	text := fmt.Sprintf("%s  %s  %s", name, size(done), rate)
	if total > 0 {
		share := min(1, float64(done)/float64(total)) // the archive is larger than the files
		const cells = 24
		full := int(share * cells)
		text = fmt.Sprintf("%s  [%s%s] %3.0f%%  %s of %s  %s", name,
			strings.Repeat("#", full), strings.Repeat(".", cells-full), 100*share, size(min(done, total)), size(total), rate)
	}
	if runes := []rune(text); len(runes) > width && width > 0 {
		text = string(runes[:width])
	}
	return text
}

func size(bytes int64) string {
	const units = "KMGT"
	if bytes < 1<<10 {
		return fmt.Sprintf("%d B", bytes)
	}
	value, unit := float64(bytes)/(1<<10), 0
	for value >= 1<<10 && unit < len(units)-1 {
		value, unit = value/(1<<10), unit+1
	}
	return fmt.Sprintf("%.1f %ciB", value, units[unit])
}
