// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpods

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// machine makes the pods of one pool, a few at a time and the others after them,
// as the pool's loop has it do: as many as the demand says, at once.
type machine struct {
	demand
	minSize int
	// slots is how many pods start at a time, each for that long.
	slots int
	start time.Duration

	now, window      time.Duration
	waiting          []time.Duration // when they were created, the oldest first
	starting         []starting
	ready            int
	hits, asks, most int // most is the largest peak that was ever planned with
}

type starting struct{ created, until time.Duration }

const tick = 10 * time.Millisecond

// pass lets time pass until then, and has n sandboxes ask every period.
func (m *machine) pass(until, period time.Duration, n int) {
	for next := m.now; m.now < until; m.now += tick {
		for ; next <= m.now; next += period {
			for range n {
				m.ask()
			}
		}
		m.work()
	}
}

func (m *machine) at(d time.Duration) time.Time { return start.Add(d) }

func (m *machine) ask() {
	m.asks++
	hit := m.ready > 0
	if hit {
		m.ready--
		m.hits++
	}
	m.asked(m.at(m.now), hit)
}

func (m *machine) work() {
	var still []starting
	for _, s := range m.starting {
		if s.until > m.now {
			still = append(still, s)
			continue
		}
		m.made(m.now - s.created)
		m.ready++
	}
	m.starting = still
	peak, _ := m.peak(m.at(m.now - m.window))
	m.most = max(m.most, peak)
	for m.ready+len(m.starting)+len(m.waiting) < max(m.minSize, peak) {
		m.waiting = append(m.waiting, m.now)
	}
	for len(m.waiting) > 0 && len(m.starting) < m.slots {
		m.starting = append(m.starting, starting{m.waiting[0], m.now + m.start})
		m.waiting = m.waiting[1:]
	}
}

func TestAPoolWhoseStartsCannotKeepUpDoesNotWantMoreAndMore(t *testing.T) {
	t.Parallel()
	// 45 come a second and 20 can be made, each within 2 seconds: whoever has to
	// wait for one waits behind those that are wanted.
	m := &machine{minSize: 10, slots: 40, start: 2 * time.Second, window: 5 * time.Minute}
	m.pass(10*time.Minute, time.Second, 45)
	const within4Starts = 45 * (1 + 4*2) // of those that come at once, each second
	if m.most > within4Starts {
		t.Errorf("as many as %d were wanted, and no more than %d come within four starts", m.most, within4Starts)
	}
	if m.most < 45*2 {
		t.Errorf("no more than %d were wanted, and more came within one start", m.most)
	}
	if got, could := m.hits, int(m.now/time.Second)*20; got < could*9/10 {
		t.Errorf("%d found a pod, and about %d could be made", got, could)
	}
}

func TestABurstThatComesAgainFindsItsPods(t *testing.T) {
	t.Parallel()
	// 60 at once, so often that the starts are three quarters busy.
	m := &machine{minSize: 5, slots: 10, start: time.Second, window: 5 * time.Minute}
	m.pass(2*time.Minute, 8*time.Second, 60)
	m.hits, m.asks = 0, 0
	m.pass(10*time.Minute, 8*time.Second, 60)
	if m.hits != m.asks {
		t.Errorf("%d of %d found a pod", m.hits, m.asks)
	}
}

func TestHowLongAPodTakesIsLearntAnewWhenTheTemplateChanges(t *testing.T) {
	t.Parallel()
	s := newShop()
	name := types.NamespacedName{Namespace: "a", Name: "p"}
	lead := func() time.Duration { return s.pools[name].demand.lead() }

	former := s.pod(s.pool("a", "p"))
	s.Made(former, 2*time.Second)
	s.Made(former, time.Minute)
	if got := lead(); got != maxStretch*2*time.Second {
		t.Errorf("it plans with %s", got)
	}
	s.pool("a", "p", func(p *v1.WarmPool) { p.Spec.MinSize = 7 })
	if got := lead(); got != maxStretch*2*time.Second {
		t.Errorf("it plans with %s after a change that replaces no pod", got)
	}

	changed := s.pod(s.pool("a", "p", func(p *v1.WarmPool) { p.Spec.PreloadPackages = []string{"numpy"} }))
	s.Made(former, time.Second) // it was on its way
	if got := lead(); got != firstLead {
		t.Errorf("it plans with %s before one was made", got)
	}
	s.Made(changed, time.Minute)
	if got := lead(); got != time.Minute {
		t.Errorf("it plans with %s, and the pods take a minute now", got)
	}
}
