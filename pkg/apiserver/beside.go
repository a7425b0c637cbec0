// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Component is something that runs beside the server, in the same process.
type Component struct {
	Name string
	// Recover takes up what an earlier process left. The server takes no
	// request before it has returned. It may be nil.
	Recover func(ctx context.Context) error
	// Run returns when ctx ends, or with the error that ends the server. It
	// may be nil.
	Run func(ctx context.Context) error
	// Client says that the component is a client of the server: it ends while
	// the server still answers. Others end after the last request.
	Client bool
}

// beside is all components of a server. Each may use those that were added
// before it: they start before it and end after it.
type beside struct {
	components []Component

	mu      sync.Mutex
	running []*run
	errs    []error
}

// run is one running component.
type run struct {
	client bool
	end    context.CancelFunc
	done   chan struct{}
	err    error // may be read once done is closed
}

// start recovers the components one after the other and then runs them all.
// failed is called if one of them ends before it is stopped.
func (b *beside) start(ctx context.Context, failed func()) error {
	for _, component := range b.components {
		if component.Recover == nil {
			continue
		}
		if err := component.Recover(ctx); err != nil {
			return fmt.Errorf("%s: taking up what was left: %w", component.Name, err)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, component := range b.components {
		if component.Run == nil {
			continue
		}
		running, end := context.WithCancel(context.WithoutCancel(ctx))
		r := &run{client: component.Client, end: end, done: make(chan struct{})}
		b.running = append(b.running, r)
		go func() {
			defer close(r.done)
			err := component.Run(running)
			if running.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
				return
			}
			if err == nil {
				err = errors.New("it ended by itself")
			}
			r.err = fmt.Errorf("%s: %w", component.Name, err)
			failed()
		}()
	}
	return nil
}

// stopClients ends the components that are clients of the server.
func (b *beside) stopClients() {
	b.stopIf(func(r *run) bool { return r.client })
}

// stop ends all components and returns what they failed with.
func (b *beside) stop() error {
	b.stopIf(func(*run) bool { return true })
	b.mu.Lock()
	defer b.mu.Unlock()
	return errors.Join(b.errs...)
}

// stopIf ends those of the running components that match, the last first, and
// waits for each.
func (b *beside) stopIf(match func(*run) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var left []*run
	for _, r := range slices.Backward(b.running) {
		if !match(r) {
			left = append(left, r)
			continue
		}
		r.end()
		<-r.done
		b.errs = append(b.errs, r.err)
	}
	slices.Reverse(left)
	b.running = left
}
