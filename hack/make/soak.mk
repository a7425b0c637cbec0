# Copyright 2026 The Safebeam Authors.
# SPDX-License-Identifier: Apache-2.0

DURATION ?= 4h

.PHONY: soak
soak: ## Mixed load on the store for DURATION=4h: memory, files and goroutines have to stay bounded
	go run ./test/soak -duration $(DURATION)
