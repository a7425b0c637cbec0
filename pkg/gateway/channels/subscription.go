// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package channels

import (
	pb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// queued is how many messages wait for an agent before it is sent away.
const queued = 64

// Subscription is an agent that listens to the channels of a namespace which
// have no targetModel.
type Subscription struct {
	// Messages are those to the agent.
	Messages chan *pb.InboundMessage
	// Lost is closed when the queue was full: messages are missing.
	Lost chan struct{}

	hub       *Hub
	namespace string
}

// Subscribe listens until Close.
func (h *Hub) Subscribe(namespace string) *Subscription {
	s := &Subscription{Messages: make(chan *pb.InboundMessage, queued), Lost: make(chan struct{}), hub: h, namespace: namespace}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subscribers[namespace] == nil {
		h.subscribers[namespace] = map[*Subscription]struct{}{}
	}
	h.subscribers[namespace][s] = struct{}{}
	return s
}

// Close ends it.
func (s *Subscription) Close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.hub.drop(s)
}

func (h *Hub) drop(s *Subscription) {
	delete(h.subscribers[s.namespace], s)
	if len(h.subscribers[s.namespace]) == 0 {
		delete(h.subscribers, s.namespace)
	}
}

// publish gives a message to all who listen, and returns to how many.
func (h *Hub) publish(namespace string, message *pb.InboundMessage) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	count := 0
	for s := range h.subscribers[namespace] {
		select {
		case s.Messages <- message:
			count++
		default:
			close(s.Lost)
			h.drop(s)
		}
	}
	return count
}
