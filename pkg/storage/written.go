// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"bytes"
	"io"
	"reflect"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Kubernetes answers a write with what it decodes from the bytes that it has
// just encoded, a third of all that a create costs. writtenCodec copies the object
// instead: it remembers what it was encoded from, finds that again by the very
// bytes, and makes of it what decoding would have made. What it cannot vouch for
// is decoded.
//
// Law: the copy and what is decoded are semantically equal and are encoded alike.
// Empty maps and lists may be there where decoding finds none.
type writtenCodec struct {
	runtime.Codec
	scheme *runtime.Scheme
	stored runtime.GroupVersioner

	mu sync.Mutex
	// objects by the first of their bytes. An entry holds these, so that no
	// others can come to lie there.
	objects map[*byte]written
	// order has the keys of objects as a ring, the oldest at next, and nil for what
	// was taken: a key holds its bytes.
	order [writtenObjects]*byte
	next  int
}

// What is encoded is as a rule decoded when its write is durable, and then gone
// from here. The rest, writes that failed, is bounded by number and size.
const (
	writtenObjects = 512
	writtenBytes   = 32 << 10
)

// replaced is what encoders write for bytes that are no UTF-8, and for nothing
// else.
var replaced = []byte(`\ufffd`)

type written struct {
	data []byte
	obj  runtime.Object
	at   int // in order
}

func newWrittenCodec(codec runtime.Codec, scheme *runtime.Scheme, stored runtime.GroupVersioner) *writtenCodec {
	return &writtenCodec{Codec: codec, scheme: scheme, stored: stored, objects: map[*byte]written{}}
}

// Encode is the codec's. The object must not change until it is decoded: a
// caller of a store does not touch what it writes.
func (c *writtenCodec) Encode(obj runtime.Object, w io.Writer) error {
	buf, ok := w.(*bytes.Buffer)
	if !ok || buf.Len() > 0 {
		return c.Codec.Encode(obj, w)
	}
	if err := c.Codec.Encode(obj, w); err != nil {
		return err
	}
	if data := buf.Bytes(); len(data) > 0 && len(data) <= writtenBytes && !bytes.Contains(data, replaced) {
		c.remember(data, obj)
	}
	return nil
}

// Decode is the codec's but for the bytes that Encode has made, once.
func (c *writtenCodec) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	if into != nil && defaults == nil && len(data) > 0 {
		if obj := c.take(data); obj != nil {
			if gvk, ok := c.copy(obj, into); ok {
				return into, gvk, nil
			}
		}
	}
	return c.Codec.Decode(data, defaults, into)
}

func (c *writtenCodec) remember(data []byte, obj runtime.Object) {
	key := &data[0]
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.objects, c.order[c.next])
	c.objects[key] = written{data: data, obj: obj, at: c.next}
	c.order[c.next] = key
	c.next = (c.next + 1) % writtenObjects
}

func (c *writtenCodec) take(data []byte) runtime.Object {
	c.mu.Lock()
	defer c.mu.Unlock()
	w, ok := c.objects[&data[0]]
	if !ok || len(w.data) != len(data) {
		return nil
	}
	delete(c.objects, &data[0])
	c.order[w.at] = nil
	return w.obj
}

// copy makes into what decoding the stored form of obj would.
func (c *writtenCodec) copy(obj, into runtime.Object) (*schema.GroupVersionKind, bool) {
	from, to := reflect.ValueOf(obj), reflect.ValueOf(into)
	if from.Type() != to.Type() || from.Kind() != reflect.Pointer || from.Elem().Kind() != reflect.Struct {
		return nil, false
	}
	kinds, unversioned, err := c.scheme.ObjectKinds(obj)
	if err != nil || unversioned {
		return nil, false
	}
	gvk, ok := c.stored.KindForGroupVersionKinds(kinds)
	if !ok {
		return nil, false
	}
	copied := reflect.ValueOf(obj.DeepCopyObject()).Elem()
	if !asStored(copied) {
		return nil, false
	}
	to.Elem().Set(copied)
	// An object of another version than the stored one was converted, and says
	// nothing of its kind.
	into.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	for _, kind := range kinds {
		if kind == gvk {
			into.GetObjectKind().SetGroupVersionKind(gvk)
			c.scheme.Default(into)
		}
	}
	return &gvk, true
}
