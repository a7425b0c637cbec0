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
	// Run returns when ctx ends, which is after the last request and after
	// the components that were added later, or with the error that ends the
	// server.
	Run func(ctx context.Context) error
}

// beside is all components of a server. Each may use those that were added
// before it: they start before it and end after it.
type beside struct {
	components []Component

	once    sync.Once
	running []*run
	// err may be read once stop has returned.
	err error
}

// run is one running component.
type run struct {
	end  context.CancelFunc
	done chan struct{}
	err  error // may be read once done is closed
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
	for _, component := range b.components {
		running, end := context.WithCancel(context.WithoutCancel(ctx))
		r := &run{end: end, done: make(chan struct{})}
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

// stop ends the components, the last first, and waits for each. It may be
// called repeatedly.
func (b *beside) stop() {
	b.once.Do(func() {
		var errs []error
		for _, r := range slices.Backward(b.running) {
			r.end()
			<-r.done
			errs = append(errs, r.err)
		}
		b.err = errors.Join(errs...)
	})
}
