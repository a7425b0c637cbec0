// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"bytes"
	"hash/maphash"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// decodedEvents is how many decoded events are kept for watches that have not
// got there yet. It bounds memory: that many objects and their stored form.
const decodedEvents = 256

// DecodeOnce returns a codec for a store that many watches read without a watch
// cache. Each of them decodes every event by itself, which for a thousand
// watches is a thousand times the same work; with it the first decodes and the
// others copy, a tenth of the cost.
//
// What is decoded is found again by its content, so that nothing depends on who
// owns the bytes or whether they had to be decrypted first.
func DecodeOnce(codec runtime.Codec) runtime.Codec {
	return &onceCodec{Codec: codec, seed: maphash.MakeSeed(), recent: map[uint64]*decoded{}}
}

type onceCodec struct {
	runtime.Codec
	seed maphash.Seed

	mu     sync.Mutex
	recent map[uint64]*decoded
	// order has the keys of recent as a ring, the oldest at next.
	order [decodedEvents]uint64
	next  int
}

// decoded is an object that nobody may change: whoever wants it copies it.
type decoded struct {
	data []byte
	once sync.Once
	obj  runtime.Object
	gvk  *schema.GroupVersionKind
	err  error
}

// Decode is the plain codec's for callers that bring an object to decode into,
// as all readers but watches do.
func (c *onceCodec) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	if into != nil || defaults != nil {
		return c.Codec.Decode(data, defaults, into)
	}
	d := c.find(data)
	if d == nil {
		return c.Codec.Decode(data, nil, nil)
	}
	d.once.Do(func() { d.obj, d.gvk, d.err = c.Codec.Decode(d.data, nil, nil) })
	if d.err != nil {
		return nil, d.gvk, d.err
	}
	return d.obj.DeepCopyObject(), d.gvk, nil
}

// find returns the entry of data, a new one if need be, or nil where another
// has the same hash.
func (c *onceCodec) find(data []byte) *decoded {
	key := maphash.Bytes(c.seed, data)
	c.mu.Lock()
	defer c.mu.Unlock()
	if d, ok := c.recent[key]; ok {
		if bytes.Equal(d.data, data) {
			return d
		}
		return nil
	}
	d := &decoded{data: data}
	delete(c.recent, c.order[c.next])
	c.recent[key], c.order[c.next] = d, key
	c.next = (c.next + 1) % decodedEvents
	return d
}
