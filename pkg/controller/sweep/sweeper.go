// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sweep drops what is left in the journal and among the heads of
// objects that are gone. What is dropped here should have been dropped with
// its object, and was not because the process died in between.
//
// Law: something is dropped only if two sweeps in a row found it without an
// object. A fork's log, for one, is written before its conversation.
package sweep

import (
	"context"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"safebeam.dev/safebeam/pkg/generated/clientset/versioned"
	"safebeam.dev/safebeam/pkg/journal"
	"safebeam.dev/safebeam/pkg/storage/heads"
)

const (
	// interval is far longer than any request lives.
	interval = 10 * time.Minute
	page     = 500
)

// Options of a Sweeper.
type Options struct {
	Client  versioned.Interface
	Journal journal.Journal
	Heads   *heads.Store
	Clock   clock.WithTicker
}

// Sweeper drops orphans.
type Sweeper struct {
	Options
	suspects map[journal.Owner]bool
	closed   map[types.UID]bool
}

// New returns a sweeper.
func New(o Options) *Sweeper {
	return &Sweeper{Options: o, suspects: map[journal.Owner]bool{}, closed: map[types.UID]bool{}}
}

// Run sweeps until ctx ends.
func (s *Sweeper) Run(ctx context.Context) error {
	logger := klog.FromContext(ctx).WithName("sweep")
	ticker := s.Clock.NewTicker(interval)
	defer ticker.Stop()
	for {
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			logger.Error(err, "Sweep failed, will try again", "after", interval)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

// Sweep looks once. What it drops is what it found the time before, too.
func (s *Sweeper) Sweep(ctx context.Context) error {
	roots, err := s.roots(ctx)
	if err != nil {
		return err
	}
	all, err := s.Heads.List(ctx)
	if err != nil {
		return err
	}
	// Listed after what is to be judged by it: what was made in between is in
	// the list and not among the judged.
	alive, err := s.alive(ctx)
	if err != nil {
		return err
	}
	suspects := map[journal.Owner]bool{}
	for root := range roots {
		if alive[root] {
			continue
		}
		if !s.suspects[root] {
			suspects[root] = true
			continue
		}
		if err := s.Journal.Drop(ctx, root); err != nil {
			return err
		}
		klog.FromContext(ctx).Info("Dropped records whose object is gone", "owner", root)
	}
	closed := map[types.UID]bool{}
	for i := range all {
		uid := types.UID(all[i].Name)
		if alive[journal.Owner("conversations/"+string(uid))] {
			continue
		}
		if !s.closed[uid] {
			closed[uid] = true
			continue
		}
		if err := s.Heads.Delete(ctx, uid); err != nil {
			return err
		}
	}
	s.suspects, s.closed = suspects, closed
	return nil
}

// roots returns plural and UID of all owners in the journal that are ours to
// judge.
func (s *Sweeper) roots(ctx context.Context) (map[journal.Owner]bool, error) {
	roots := map[journal.Owner]bool{}
	after := journal.Owner("")
	for {
		owners, err := s.Journal.Owners(ctx, after, page)
		if err != nil {
			return nil, err
		}
		for _, owner := range owners {
			after = owner
			plural, rest, _ := strings.Cut(string(owner), "/")
			uid, _, _ := strings.Cut(rest, "/")
			switch plural {
			case "turns", "conversations", "executions":
				roots[journal.Owner(plural+"/"+uid)] = true
			}
		}
		if len(owners) < page {
			return roots, nil
		}
	}
}

func (s *Sweeper) alive(ctx context.Context) (map[journal.Owner]bool, error) {
	alive := map[journal.Owner]bool{}
	options := metav1.ListOptions{Limit: page}
	for {
		turns, err := s.Client.TightbeamV1().Turns(metav1.NamespaceAll).List(ctx, options)
		if err != nil {
			return nil, err
		}
		for i := range turns.Items {
			alive[journal.Owner("turns/"+string(turns.Items[i].UID))] = true
		}
		if options.Continue = turns.Continue; options.Continue == "" {
			break
		}
	}
	for {
		conversations, err := s.Client.TightbeamV1().Conversations(metav1.NamespaceAll).List(ctx, options)
		if err != nil {
			return nil, err
		}
		for i := range conversations.Items {
			alive[journal.Owner("conversations/"+string(conversations.Items[i].UID))] = true
		}
		if options.Continue = conversations.Continue; options.Continue == "" {
			break
		}
	}
	for {
		executions, err := s.Client.LlmsafespaceV1().Executions(metav1.NamespaceAll).List(ctx, options)
		if err != nil {
			return nil, err
		}
		for i := range executions.Items {
			alive[journal.Owner("executions/"+string(executions.Items[i].UID))] = true
		}
		if options.Continue = executions.Continue; options.Continue == "" {
			return alive, nil
		}
	}
}
