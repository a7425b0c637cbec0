// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apiserver/pkg/apis/example"
	"k8s.io/apiserver/pkg/storage"
)

// server is a store in a process of its own, filled, measured, killed and
// started again.
type server struct {
	pid  int
	do   func(job) (result, error)
	kill func()
}

// settle is longer than anybody's checkpoint interval.
const settle = 8 * time.Second

// runRestart measures memory, disk and the way back after kill -9.
func (b *bench) runRestart(ctx context.Context, objects int) error {
	fmt.Fprintf(b.out, "\n%d objects of 1.1 KB, then kill -9 and restart\n", objects)
	for _, name := range b.names {
		if name == nameKine {
			continue // filling it takes minutes
		}
		dir := filepath.Join(b.dir, "restart-"+name)
		start := func() (*server, error) { return b.startServer(ctx, name, dir) }
		if err := b.restartOnce(name, dir, objects, start); err != nil {
			return fmt.Errorf("restart of %s: %w", name, err)
		}
		_ = os.RemoveAll(dir)
	}
	return nil
}

func (b *bench) startServer(ctx context.Context, name, dir string) (*server, error) {
	if name == nameOurs {
		c, err := startChild(dir)
		if err != nil {
			return nil, err
		}
		return &server{pid: c.command.Process.Pid, do: c.do, kill: c.kill}, nil
	}
	c, err := b.openers[name](ctx, dir)
	if err != nil {
		return nil, err
	}
	return &server{pid: c.pid, kill: c.close, do: func(j job) (result, error) {
		r := do(ctx, c, j)
		if r.Error != "" {
			return r, fmt.Errorf("%s", r.Error)
		}
		return r, nil
	}}, nil
}

func (b *bench) restartOnce(name, dir string, objects int, start func() (*server, error)) error {
	s, err := start()
	if err != nil {
		return err
	}
	filled, err := s.do(job{Create: true, Count: objects, Workers: 64})
	if err != nil {
		s.kill()
		return err
	}
	// What a store does in the background, checkpoints above all, belongs to
	// what it takes.
	time.Sleep(settle)
	rss, anonymous := memory(s.pid)
	s.kill()
	disk := diskBytes(dir)

	begun := time.Now()
	if s, err = start(); err != nil {
		return err
	}
	defer s.kill()
	if _, err := s.do(job{Get: filled.Key}); err != nil {
		return err
	}
	first := time.Since(begun)
	fmt.Fprintf(b.out, "  %-9s filled in %6.2f s, RSS %4d MB (anonymous %4d), disk %4d MB (%d B/object), first read after kill -9: %7.1f ms\n",
		name, filled.Took.Seconds(), rss>>20, anonymous>>20, disk>>20, disk/int64(objects), ms(first))
	suffix := ""
	if name != nameOurs {
		suffix = "_" + name
	}
	prefix := fmt.Sprintf("%sobjects_%d", b.prefix, objects)
	b.figure(prefix+"_rss_mb"+suffix, float64(rss)/(1<<20), "MB")
	b.figure(prefix+"_anon_mb"+suffix, float64(anonymous)/(1<<20), "MB")
	b.figure(prefix+"_disk_mb"+suffix, float64(disk)/(1<<20), "MB")
	b.figure(prefix+"_disk_bytes_per_object"+suffix, float64(disk)/float64(objects), "B")
	b.figure(prefix+"_restart_ms"+suffix, ms(first), "ms")
	return nil
}

// runCacheFill measures what a watch cache on our store takes to be ready and
// in memory.
func (b *bench) runCacheFill(ctx context.Context, objects int) error {
	c, err := openOurs(ctx, filepath.Join(b.dir, "cachefill"))
	if err != nil {
		return err
	}
	defer c.close()
	if _, err := fill(ctx, c, objects, 64); err != nil {
		return err
	}
	before := heap()
	store, stop, took, err := c.cached(ctx)
	if err != nil {
		return err
	}
	defer stop()
	grown := heap() - before

	// A consistent list after a write that the cache has nothing to do with.
	other := &example.Pod{}
	var waits []float64
	for range 50 {
		key, pod := object("elsewhere")
		if err := c.store.Create(ctx, key, pod, other, 0); err != nil {
			return err
		}
		predicate := storage.Everything
		predicate.Limit = 1
		begun := time.Now()
		if err := store.GetList(ctx, resourcePrefix+"nowhere/", storage.ListOptions{Predicate: predicate, Recursive: true}, &example.PodList{}); err != nil {
			return err
		}
		waits = append(waits, ms(time.Since(begun)))
	}
	fmt.Fprintf(b.out, "\nwatch cache of %d objects: ready in %.0f ms, %.1f MB of heap; consistent list right after a write %.3f ms\n",
		objects, ms(took), float64(grown)/(1<<20), median(waits))
	b.figure(fmt.Sprintf("%scache_%d_ready_ms", b.prefix, objects), ms(took), "ms")
	b.figure(fmt.Sprintf("%scache_%d_heap_mb", b.prefix, objects), float64(grown)/(1<<20), "MB")
	b.figure(b.prefix+"cache_consistent_list_ms", median(waits), "ms")
	return nil
}
