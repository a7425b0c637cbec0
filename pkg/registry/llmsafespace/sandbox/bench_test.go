// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"io"
	"testing"

	"k8s.io/client-go/tools/remotecommand"

	"safebeam.dev/safebeam/pkg/apiserver/servertest"
)

func BenchmarkExecTrue(b *testing.B) {
	s := servertest.Start(b, servertest.Settings{Sandboxes: true})
	s.NewSandbox(b, namespace, "box")
	options := remotecommand.StreamOptions{Stdout: io.Discard, Stderr: io.Discard}
	for _, p := range protocols {
		run := func(b *testing.B) {
			if err := p.exec(b, s, "box", options, "true"); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(p.name+"/alone", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				run(b)
			}
		})
		b.Run(p.name+"/32 at once", func(b *testing.B) {
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					run(b)
				}
			})
		})
	}
}

func BenchmarkExecOutput(b *testing.B) {
	s := servertest.Start(b, servertest.Settings{Sandboxes: true})
	s.NewSandbox(b, namespace, "box")
	options := remotecommand.StreamOptions{Stdout: io.Discard}
	for _, p := range protocols {
		b.Run(p.name, func(b *testing.B) {
			b.SetBytes(256 << 20)
			b.ReportAllocs()
			for b.Loop() {
				if err := p.exec(b, s, "box", options, "head", "-c", "268435456", "/dev/zero"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
