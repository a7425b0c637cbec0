// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// countingCodec decodes a name.
type countingCodec struct {
	runtime.Codec
	decodes atomic.Int64
}

func (c *countingCodec) Decode(data []byte, _ *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	c.decodes.Add(1)
	if string(data) == "broken" {
		return nil, nil, errors.New("broken")
	}
	obj := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: string(data)}}
	if into != nil {
		obj.DeepCopyInto(into.(*metav1.PartialObjectMetadata))
		return into, nil, nil
	}
	return obj, nil, nil
}

func TestManyWatchesDecodeAnEventOnceAndGetACopyEach(t *testing.T) {
	inner := &countingCodec{}
	codec := DecodeOnce(inner)
	const watches, events = 50, 40
	var wg sync.WaitGroup
	for w := range watches {
		wg.Go(func() {
			for e := range events {
				name := fmt.Sprintf("event-%d", e)
				obj, _, err := codec.Decode([]byte(name), nil, nil)
				if err != nil {
					t.Error(err)
					return
				}
				m := obj.(*metav1.PartialObjectMetadata)
				if m.Name != name || m.ResourceVersion != "" {
					t.Errorf("watch %d was handed %v of %s", w, m, name)
				}
				// As etcd3's watches do.
				m.ResourceVersion = "7"
			}
		})
	}
	wg.Wait()
	if n := inner.decodes.Load(); n != events {
		t.Errorf("%d decodes of %d events", n, events)
	}
}

func TestErrorsAndObjectsToDecodeIntoAreTheCodecsOwn(t *testing.T) {
	inner := &countingCodec{}
	codec := DecodeOnce(inner)
	for range 2 {
		if _, _, err := codec.Decode([]byte("broken"), nil, nil); err == nil {
			t.Error("a broken object was decoded")
		}
		into := &metav1.PartialObjectMetadata{}
		if obj, _, err := codec.Decode([]byte("a"), nil, into); err != nil || obj != into || into.Name != "a" {
			t.Errorf("Decode into = %v, %v", obj, err)
		}
	}
}

func TestDecodedEventsAreBounded(t *testing.T) {
	codec := DecodeOnce(&countingCodec{}).(*onceCodec)
	for i := range 10 * decodedEvents {
		if _, _, err := codec.Decode(fmt.Append(nil, i), nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(codec.recent); n > decodedEvents {
		t.Errorf("%d events are kept", n)
	}
}
