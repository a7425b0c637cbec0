// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

const (
	// Headroom is about what the heap may grow by between two collections. Of a
	// server that does nothing but short turns they take a tenth of its processor
	// time so, and with a third more of headroom a twelfth; where a thousand streams
	// hold the processors, and a collection takes long, it is what the heap is
	// larger by.
	Headroom = 48 << 20

	minPercent = 50
	maxPercent = 200
	// step is the smallest change that is worth the moment in which the world
	// stands still for it.
	step = 10
)

// percent is the GOGC that gives the headroom, where live is what it is a share
// of: the heap that lives, stacks and globals.
func percent(live uint64) int {
	if live == 0 {
		return maxPercent
	}
	return int(min(max(Headroom*100/live, minPercent), maxPercent))
}

// Pace keeps to the law from now on, for the whole process. It may be called
// often.
var Pace = sync.OnceFunc(func() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	p := &pacer{percent: 100, samples: []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"},
	}}
	p.adjust()
	p.afterNext()
})

// pacer adjusts after each collection.
type pacer struct {
	percent int
	samples []metrics.Sample
}

// afterNext has the next collection find something to finalize, which is how a
// program learns of it without asking all the time.
func (p *pacer) afterNext() {
	runtime.SetFinalizer(&sentinel{p}, func(s *sentinel) {
		s.pacer.adjust()
		s.pacer.afterNext()
	})
}

type sentinel struct{ *pacer }

func (p *pacer) adjust() {
	metrics.Read(p.samples)
	live := uint64(0)
	for _, sample := range p.samples {
		if sample.Value.Kind() != metrics.KindUint64 {
			return // a runtime that does not tell
		}
		live += sample.Value.Uint64()
	}
	want := percent(live)
	if want > p.percent-step && want < p.percent+step && want != minPercent && want != maxPercent {
		return
	}
	if want != p.percent {
		p.percent = want
		debug.SetGCPercent(want)
	}
}
