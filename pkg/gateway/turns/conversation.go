// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/storage/heads"
)

// conversation mirrors a head in memory: the claims in their order, and which
// of them are stored turns. Guarded by Broker.mu.
type conversation struct {
	uid       types.UID
	namespace string
	name      string
	queue     []*slot
	// highest position seen. A head that was read before a release and comes
	// late must not bring back what was released.
	highest int64
	// users are creates in flight, which keep the mirror alive.
	users int
}

// slot is one claim. Its turn is nil until it is stored: the turns behind it
// wait, or two could run.
type slot struct {
	claim heads.Claim
	turn  *turn
	// deleted: the turn was deleted after it was stored and before the broker
	// had it.
	deleted bool
}

// enter returns the mirror of a conversation and keeps it until leave.
func (b *Broker) enter(uid types.UID, namespace, name string) *conversation {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.conversations[uid]
	if c == nil {
		c = &conversation{uid: uid, namespace: namespace, name: name}
		b.conversations[uid] = c
	}
	c.users++
	return c
}

func (b *Broker) leave(c *conversation) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.users--
	b.forget(c)
}

func (b *Broker) forget(c *conversation) {
	if c.users == 0 && len(c.queue) == 0 && b.conversations[c.uid] == c {
		delete(b.conversations, c.uid)
	}
}

// claimed adds the claims of a head that the mirror does not have.
func (b *Broker) claimed(c *conversation, head *heads.Head) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, claim := range head.Queue {
		if claim.Position > c.highest {
			c.queue = append(c.queue, &slot{claim: claim})
			c.highest = claim.Position
		}
	}
}

// released takes a claim out of the mirror and lets the next turn go.
func (b *Broker) released(c *conversation, uid types.UID) {
	b.mu.Lock()
	c.queue = slices.DeleteFunc(c.queue, func(s *slot) bool { return s.claim.UID == uid })
	if t := b.turns[uid]; t != nil && t.conversation == c {
		delete(b.turns, uid)
		b.unname(t)
		close(t.left)
	}
	b.forget(c)
	b.dispatch(c)
	b.mu.Unlock()
	b.Observer.ConversationChanged(c.namespace, c.name)
}

// stored puts a turn into its slot. It returns the turns that its claim
// preempts, and the claim that preempts it, if there is one already. A turn
// that was deleted meanwhile is on its way out.
func (b *Broker) stored(c *conversation, t *turn) (preempted []*turn, by *heads.Claim) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(c.queue, func(s *slot) bool { return s.claim.UID == t.uid })
	if i < 0 {
		return nil, nil
	}
	c.queue[i].turn = t
	b.turns[t.uid] = t
	if !c.queue[i].deleted {
		b.name(t)
	} else if !b.stopped {
		b.tasks.Go(func() { t.vanished(b.ctx) })
	}
	if preempts(c.queue[i].claim.Policy) {
		for _, s := range c.queue[:i] {
			if s.turn != nil {
				preempted = append(preempted, s.turn)
			}
		}
	}
	for _, s := range c.queue[i+1:] {
		if s.turn != nil && preempts(s.claim.Policy) {
			claim := s.claim
			return preempted, &claim
		}
	}
	return preempted, nil
}

func preempts(policy tightbeamv1.ConcurrencyPolicy) bool {
	return policy == tightbeamv1.ConcurrencyInterrupt || policy == tightbeamv1.ConcurrencyRollback
}
