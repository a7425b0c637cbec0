// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package turns

// EachModel calls each with the numbers of every model that has jobs or turns.
func (b *Broker) EachModel(each func(namespace, model string, counts ModelCounts)) {
	type numbered struct {
		modelKey
		ModelCounts
	}
	b.mu.Lock()
	all := make([]numbered, 0, len(b.models))
	for key, q := range b.models {
		all = append(all, numbered{key, ModelCounts{Jobs: int32(len(q.jobs)), Queued: int32(q.ready.Len()), Running: int32(q.running)}})
	}
	b.mu.Unlock()
	for _, n := range all {
		each(n.namespace, n.model, n.ModelCounts)
	}
}
