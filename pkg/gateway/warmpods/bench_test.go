// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpods_test

import (
	"fmt"
	"testing"

	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/storage"
)

// BenchmarkCreate is the create of a sandbox below HTTP, on bbolt with its sync:
// cold, which stores it, and warm, which claims a pod besides.
func BenchmarkCreate(b *testing.B) {
	for _, warm := range []bool{false, true} {
		b.Run(fmt.Sprintf("warm=%t", warm), func(b *testing.B) {
			o := storage.NewOptions()
			o.BBolt.DataDir = b.TempDir()
			w, err := open(b.Context(), o)
			if err != nil {
				b.Fatal(err)
			}
			defer w.store.Close()
			if warm {
				if err := w.addPods(b.Context(), b.N); err != nil {
					b.Fatal(err)
				}
			}
			if _, err := w.shelve(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				sandbox := newSandbox(fmt.Sprint("s", i))
				sandbox.Spec.UseWarmPool = ptr.To(warm)
				made, err := w.post(b.Context(), sandbox)
				if err != nil || (made.Status.Phase == v1.SandboxRunning) != warm {
					b.Fatalf("%v, %+v", err, made)
				}
			}
		})
	}
}
