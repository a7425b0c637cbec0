// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetessandbox

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Resolver finds the addresses of a name.
type Resolver func(ctx context.Context, host string) ([]string, error)

// resolvedFor is how long an address is believed. That of a Service stays as
// long as the Service does; pods that have an old one cannot be told another.
const resolvedFor = 30 * time.Second

// gatewayAddress gives pods the address of the gateway, since they have no DNS.
type gatewayAddress struct {
	host    string
	resolve Resolver
	clock   clock.PassiveClock

	mu      sync.Mutex
	address string
	at      time.Time
}

func (g *gatewayAddress) get(ctx context.Context) (string, error) {
	if net.ParseIP(g.host) != nil {
		return g.host, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.address != "" && g.clock.Since(g.at) < resolvedFor {
		return g.address, nil
	}
	addresses, err := g.resolve(ctx, g.host)
	if err == nil && len(addresses) == 0 {
		err = fmt.Errorf("it has no address")
	}
	if err != nil {
		if g.address != "" {
			return g.address, nil // DNS is away; the Service's address hardly changed
		}
		return "", fmt.Errorf("finding the gateway %s: %w", g.host, err)
	}
	g.address, g.at = addresses[0], g.clock.Now()
	return g.address, nil
}
