// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controller puts the loops together: which informers they share, and
// in what order everything starts and ends. The loops themselves are the
// packages below, one each, all of the shape in package loop.
//
// Laws:
//   - Run returns after every goroutine that it started has ended, and after
//     the launchers have ended what they have to end.
//   - Whatever ends unasked ends all of it, with its error: a process that has
//     lost one of its loops must be started again, not go on half alive.
package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"golang.org/x/sync/errgroup"

	"safebeam.dev/safebeam/pkg/controller/llmjob"
	"safebeam.dev/safebeam/pkg/controller/ttl"
	"safebeam.dev/safebeam/pkg/controller/turns"
	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	informers "safebeam.dev/safebeam/pkg/generated/informers/externalversions/tightbeam/v1"
)

const (
	// DefaultTurnTTL is how long finished turns stay that name no time.
	DefaultTurnTTL = 24 * time.Hour
	// DefaultIdleTimeout is how long a job without work stays, of models that
	// name no time.
	DefaultIdleTimeout = 300 * time.Second
)

// Launcher runs jobs, and is run itself.
type Launcher interface {
	llmjob.Launcher
	// Run watches over the jobs until ctx ends, then ends them and returns.
	Run(ctx context.Context) error
}

// Options are what the controllers work with.
type Options struct {
	Client   versioned.Interface
	Launcher Launcher
	// Sandboxes is what the loops of sandboxes work with.
	Sandboxes SandboxOptions
	// TurnTTL is the lifetime of finished turns that name none: nil is
	// DefaultTurnTTL, zero keeps them.
	TurnTTL *time.Duration
	// Clock is the real one unless a test sets another.
	Clock clock.WithTicker
}

// Controllers are all loops and the informers they share.
type Controllers struct {
	launchers []runner
	informers []cache.SharedIndexInformer
	loops     []runner
}

// runner is run until ctx ends.
type runner interface {
	Run(ctx context.Context) error
}

// New puts the loops together.
func New(o Options) (*Controllers, error) {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	turnTTL := DefaultTurnTTL
	if o.TurnTTL != nil {
		turnTTL = *o.TurnTTL
	}

	models := informers.NewTightbeamModelInformer(o.Client, metav1.NamespaceAll, 0, cache.Indexers{})
	conversations := informers.NewConversationInformer(o.Client, metav1.NamespaceAll, 0, cache.Indexers{})
	if err := conversations.SetTransform(stripConversation); err != nil {
		return nil, err
	}
	unfinished := turns.NewUnfinishedInformer(o.Client)
	finished := turns.NewFinishedInformer(o.Client)

	jobs, err := llmjob.New(llmjob.Options{
		Client:      o.Client,
		Models:      models,
		Unfinished:  unfinished,
		Launcher:    o.Launcher,
		Clock:       o.Clock,
		IdleTimeout: DefaultIdleTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("controller llmjob: %w", err)
	}
	ttlTurns, err := ttl.NewTurns(o.Client, finished, turnTTL, o.Clock)
	if err != nil {
		return nil, fmt.Errorf("controller ttl-turns: %w", err)
	}
	ttlConversations, err := ttl.NewConversations(o.Client, conversations, unfinished, o.Clock)
	if err != nil {
		return nil, fmt.Errorf("controller ttl-conversations: %w", err)
	}
	c := &Controllers{
		launchers: []runner{o.Launcher},
		informers: []cache.SharedIndexInformer{models, conversations, unfinished, finished},
		loops:     []runner{jobs, ttlTurns, ttlConversations},
	}
	return c, c.addSandboxes(o)
}

// Run works until ctx ends or something breaks. The launchers end last: a loop
// may still be launching when it is told to end, and that job must end too.
func (c *Controllers) Run(ctx context.Context) error {
	launcherCtx, endLauncher := context.WithCancel(context.WithoutCancel(ctx))
	defer endLauncher()
	ctx, endLoops := context.WithCancel(ctx)
	defer endLoops()

	launchers, launchersCtx := errgroup.WithContext(launcherCtx)
	for _, launcher := range c.launchers {
		launchers.Go(func() error {
			defer endLoops()
			err := launcher.Run(launchersCtx)
			if err == nil && launchersCtx.Err() == nil {
				err = errors.New("launcher: ended unasked")
			}
			return err
		})
	}

	group, groupCtx := errgroup.WithContext(ctx)
	for _, informer := range c.informers {
		group.Go(func() error {
			informer.RunWithContext(groupCtx)
			return unasked(groupCtx, "informer")
		})
	}
	for _, loop := range c.loops {
		group.Go(func() error {
			if err := loop.Run(groupCtx); err != nil {
				return err
			}
			return unasked(groupCtx, "loop")
		})
	}
	err := group.Wait()
	endLauncher()
	return errors.Join(err, launchers.Wait())
}

func unasked(ctx context.Context, what string) error {
	if ctx.Err() == nil {
		return fmt.Errorf("%s ended unasked", what)
	}
	return nil
}
