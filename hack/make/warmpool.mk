# Copyright 2026 The Safebeam Authors.
# SPDX-License-Identifier: Apache-2.0

.PHONY: bench-warmpool
bench-warmpool: build ## Sandboxes from warm pools, of local and of fake pods: latency, bursts, cost, refill; BENCHFLAGS=-short
	go run ./test/warmpoolbench $(BENCHFLAGS)
