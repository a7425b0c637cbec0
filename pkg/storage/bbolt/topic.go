// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package bbolt

import (
	"slices"
	"sort"
	"strings"
)

// topic is what the watchers of one range of keys share: which of the recent
// revisions are theirs. A watcher has a position of its own.
type topic struct {
	keys keyRange
	refs int
	// since says that revs holds every revision of the range above it.
	since int64
	revs  []int64
	// changed is closed to wake the watchers, and replaced.
	changed chan struct{}
	fired   bool
}

// maxTopicRevs bounds a topic; who is further behind reads the log.
const maxTopicRevs = 16 << 10

// topicSet finds the topics of a key. Kubernetes watches single keys and
// prefixes that end with a slash; other ranges are kept in a list.
type topicSet struct {
	exact    map[string]*topic
	prefixes map[string]*topic
	others   []*topic
	fired    []*topic
	// watchers are all watches, on whatever topic.
	watchers []*watcher
}

func (s *topicSet) forget(w *watcher) {
	if i := slices.Index(s.watchers, w); i >= 0 {
		last := len(s.watchers) - 1
		s.watchers[i] = s.watchers[last]
		s.watchers[last] = nil
		s.watchers = s.watchers[:last]
	}
}

func (s *topicSet) init() {
	s.exact, s.prefixes = map[string]*topic{}, map[string]*topic{}
}

func (s *topicSet) add(ev *event) {
	key := ev.cur.key
	if len(s.exact) > 0 {
		if t := s.exact[key]; t != nil {
			s.fire(t, ev.rev)
		}
	}
	if len(s.prefixes) > 0 {
		for i := 0; i < len(key); i++ {
			if key[i] == '/' {
				if t := s.prefixes[key[:i+1]]; t != nil {
					s.fire(t, ev.rev)
				}
			}
		}
	}
	for _, t := range s.others {
		if t.keys.contains(key) {
			s.fire(t, ev.rev)
		}
	}
}

func (s *topicSet) fire(t *topic, rev int64) {
	if len(t.revs) >= maxTopicRevs {
		n := len(t.revs) / 2
		t.since = t.revs[n-1]
		t.revs = slices.Clone(t.revs[n:])
	}
	t.revs = append(t.revs, rev)
	s.poke(t)
}

func (s *topicSet) poke(t *topic) {
	if !t.fired {
		t.fired = true
		s.fired = append(s.fired, t)
	}
}

// all pokes every topic.
func (s *topicSet) all() {
	s.each(func(t *topic) { s.poke(t) })
}

func (s *topicSet) each(fn func(*topic)) {
	for _, t := range s.exact {
		fn(t)
	}
	for _, t := range s.prefixes {
		fn(t)
	}
	for _, t := range s.others {
		fn(t)
	}
}

// takeFired returns the channels to close.
func (s *topicSet) takeFired() []chan struct{} {
	chans := make([]chan struct{}, 0, len(s.fired))
	for _, t := range s.fired {
		chans = append(chans, t.changed)
		t.changed = make(chan struct{})
		t.fired = false
	}
	clear(s.fired)
	s.fired = s.fired[:0]
	return chans
}

// join returns the topic of r, made as of head if there is none.
func (s *topicSet) join(r keyRange, head int64) *topic {
	t := s.lookup(r)
	if t == nil {
		t = &topic{keys: r, since: head, changed: make(chan struct{})}
		switch kind := kindOf(r); kind {
		case rangeExact:
			s.exact[r.from] = t
		case rangePrefix:
			s.prefixes[r.from] = t
		default:
			s.others = append(s.others, t)
		}
	}
	t.refs++
	return t
}

func (s *topicSet) lookup(r keyRange) *topic {
	switch kindOf(r) {
	case rangeExact:
		return s.exact[r.from]
	case rangePrefix:
		return s.prefixes[r.from]
	}
	for _, t := range s.others {
		if t.keys == r {
			return t
		}
	}
	return nil
}

func (s *topicSet) leave(t *topic) {
	t.refs--
	if t.refs > 0 {
		return
	}
	switch kindOf(t.keys) {
	case rangeExact:
		delete(s.exact, t.keys.from)
	case rangePrefix:
		delete(s.prefixes, t.keys.from)
	default:
		s.others = slices.DeleteFunc(s.others, func(o *topic) bool { return o == t })
	}
}

type rangeKind int

const (
	rangeOther rangeKind = iota
	rangeExact
	rangePrefix
)

func kindOf(r keyRange) rangeKind {
	switch {
	case len(r.to) == len(r.from)+1 && r.to[:len(r.from)] == r.from && r.to[len(r.from)] == 0:
		return rangeExact
	case strings.HasSuffix(r.from, "/") && r == prefixRange(r.from):
		return rangePrefix
	}
	return rangeOther
}

// from returns the revisions from next on, at most n, and whether the topic
// knows them all.
func (t *topic) from(next int64, n int) ([]int64, bool) {
	if next <= t.since {
		return nil, false
	}
	i := sort.Search(len(t.revs), func(i int) bool { return t.revs[i] >= next })
	return t.revs[i:min(len(t.revs), i+n)], true
}
