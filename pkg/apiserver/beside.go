// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Component is something that runs beside the server, in the same process.
type Component struct {
	Name string
	// Recover takes up what an earlier process left. The server takes no
	// request before it has returned. It may be nil.
	Recover func(ctx context.Context) error
	// Run returns when ctx ends, which is after the last request, or with the
	// error that ends the server.
	Run func(ctx context.Context) error
}

// beside is all components of a server. They end together.
type beside struct {
	components []Component

	once  sync.Once
	end   context.CancelFunc
	group errgroup.Group
	// err may be read once stop has returned.
	err error
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
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	b.end = end
	for _, component := range b.components {
		b.group.Go(func() error {
			err := component.Run(running)
			if running.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
				return nil
			}
			if err == nil {
				err = errors.New("it ended by itself")
			}
			failed()
			return fmt.Errorf("%s: %w", component.Name, err)
		})
	}
	return nil
}

// stop ends the components and waits for them. It may be called repeatedly.
func (b *beside) stop() {
	b.once.Do(func() {
		if b.end == nil {
			return // never started
		}
		b.end()
		b.err = b.group.Wait()
	})
}
