// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package llmjob

import (
	"sync"
	"time"

	"safebeam.dev/safebeam/pkg/provider"
	tightbeampb "safebeam.dev/safebeam/proto/tightbeam/v1"
)

// maxProviders bounds what is kept: a job serves one model, whose address
// changes seldom.
const maxProviders = 8

// providers keeps the clients of a job, and with them their connections.
type providers struct {
	make func(name string, cfg provider.Config) (provider.Provider, error)
	idle time.Duration

	mu   sync.Mutex
	made map[address]provider.Provider
}

// address is what a client is made for. The key is a part of it: an attempt
// that began before the Secret changed must not leave its client to the next.
type address struct {
	name, baseURL, wireFormat string
	key                       *provider.Key
}

func (p *providers) get(name string, mc *tightbeampb.ModelConfig, s *Secret) (provider.Provider, error) {
	cfg := provider.Config{BaseURL: mc.GetBaseUrl(), WireFormat: mc.GetWireFormat(), IdleTimeout: p.idle}
	switch {
	case s != nil:
		cfg.Key = s.Key
	case name != provider.Echo:
		return nil, provider.Errorf(provider.Auth, "provider %q needs a Secret, and the job was started without one", name)
	}
	at := address{name, cfg.BaseURL, cfg.WireFormat, cfg.Key}
	p.mu.Lock()
	defer p.mu.Unlock()
	if made, ok := p.made[at]; ok {
		return made, nil
	}
	made, err := p.make(name, cfg)
	if err != nil {
		return nil, err
	}
	if p.made == nil || len(p.made) >= maxProviders {
		p.made = map[address]provider.Provider{}
	}
	p.made[at] = made
	return made, nil
}

// forget drops the clients that hold a key which is no longer the Secret's.
func (p *providers) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made = nil
}
