// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package messages

import (
	"container/list"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// cache holds decoded logs, the least recently used leave first. Its bound is
// in bytes of encoded entries.
type cache struct {
	max int64

	mu     sync.Mutex
	bytes  int64
	recent *list.List // of *cached, the most recent first
	byUID  map[types.UID]*list.Element
}

type cached struct {
	conversation types.UID
	entries      []tightbeamv1.LogEntry
	bytes        int64
}

func newCache(max int64) *cache {
	return &cache{max: max, recent: list.New(), byUID: map[types.UID]*list.Element{}}
}

func (c *cache) get(conversation types.UID) ([]tightbeamv1.LogEntry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, ok := c.byUID[conversation]
	if !ok {
		return nil, false
	}
	c.recent.MoveToFront(element)
	return element.Value.(*cached).entries, true
}

func (c *cache) put(conversation types.UID, entries []tightbeamv1.LogEntry, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set(conversation, entries, bytes)
}

// grow replaces the entries of a log by longer ones.
func (c *cache) grow(conversation types.UID, entries []tightbeamv1.LogEntry, more int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if element, ok := c.byUID[conversation]; ok {
		more += element.Value.(*cached).bytes
	}
	c.set(conversation, entries, more)
}

func (c *cache) set(conversation types.UID, entries []tightbeamv1.LogEntry, bytes int64) {
	if element, ok := c.byUID[conversation]; ok {
		item := element.Value.(*cached)
		c.bytes += bytes - item.bytes
		item.entries, item.bytes = entries, bytes
		c.recent.MoveToFront(element)
	} else {
		c.byUID[conversation] = c.recent.PushFront(&cached{conversation: conversation, entries: entries, bytes: bytes})
		c.bytes += bytes
	}
	// The newest stays even if it alone is too large: its turn is running.
	for c.bytes > c.max && c.recent.Len() > 1 {
		c.remove(c.recent.Back())
	}
}

func (c *cache) drop(conversation types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if element, ok := c.byUID[conversation]; ok {
		c.remove(element)
	}
}

func (c *cache) remove(element *list.Element) {
	item := c.recent.Remove(element).(*cached)
	delete(c.byUID, item.conversation)
	c.bytes -= item.bytes
}
