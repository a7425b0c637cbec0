// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package neverlost

import (
	"context"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"safebeam.dev/safebeam/test/harness"
)

// converse creates turn after turn in one conversation, a few ahead of what is
// answered, until ctx ends, and reads each of them to its end.
func (c *client) converse(ctx context.Context, i int) {
	conversation := fmt.Sprintf("c%d", i)
	var readers sync.WaitGroup
	ahead := make(chan struct{}, 3)
	for i := 0; ctx.Err() == nil; i++ {
		name := fmt.Sprintf("%s-%04d", conversation, i)
		if !c.createTurn(ctx, name, conversation) {
			break
		}
		c.note(line{Acknowledged: name, In: conversation})
		ahead <- struct{}{}
		readers.Go(func() {
			defer func() { <-ahead }()
			c.read(name, turnLog(name))
		})
	}
	readers.Wait()
}

func turnLog(name string) string {
	return "tightbeam.dev/v1/namespaces/" + namespace + "/turns/" + name + "/log"
}

// createTurn insists until the turn is acknowledged. False: ctx ended before.
func (c *client) createTurn(ctx context.Context, name, conversation string) bool {
	turn := harness.NewTurn(name, conversation, "question of "+name)
	return insist(ctx, func(ctx context.Context) bool {
		_, err := c.api.TightbeamV1().Turns(namespace).Create(ctx, turn, metav1.CreateOptions{})
		return err == nil || apierrors.IsAlreadyExists(err) && apierrors.HasStatusCause(err, "SameContent")
	})
}
