// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandboxes_test

import (
	"context"
	"io"
	"testing"

	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
)

func BenchmarkRunTrue(b *testing.B) {
	sb, _, _ := newGateway(b).sandbox(b, "pod")
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			if _, err := sb.Run(context.Background(), sandboxes.Command{ID: <-ids, Argv: []string{"/bin/true"}}, sandboxes.Streams{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel32", func(b *testing.B) {
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := sb.Run(context.Background(), sandboxes.Command{ID: <-ids, Argv: []string{"/bin/true"}}, sandboxes.Streams{}); err != nil {
					b.Error(err)
				}
			}
		})
	})
	h, _ := sb.Health(context.Background())
	b.Logf("rss %d KiB", h.AgentRssBytes>>10)
}

func BenchmarkOutput(b *testing.B) {
	sb, _, _ := newGateway(b).sandbox(b, "pod")
	const size = 256 << 20
	b.SetBytes(size)
	for b.Loop() {
		n := 0
		_, err := sb.Run(context.Background(), sandboxes.Command{ID: <-ids, Argv: []string{"head", "-c", "268435456", "/dev/zero"}},
			sandboxes.Streams{Output: func(c sandboxes.Chunk) error { n += len(c.Data); return nil }})
		if err != nil || n != size {
			b.Fatal(n, err)
		}
	}
	h, _ := sb.Health(context.Background())
	b.Logf("rss %d KiB", h.AgentRssBytes>>10)
}

func BenchmarkRead(b *testing.B) {
	sb, _, workspace := newGateway(b).sandbox(b, "pod")
	const size = 256 << 20
	if _, err := sb.Run(context.Background(), sandboxes.Command{ID: <-ids, Argv: []string{"truncate", "-s", "256M", "file"}}, sandboxes.Streams{}); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	for b.Loop() {
		_, r, err := sb.Read(context.Background(), workspace+"/file", 0, 0)
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r)
		r.Close()
		if err != nil || n != size {
			b.Fatal(n, err)
		}
	}
}
