# Copyright 2026 The Safebeam Authors.
# SPDX-License-Identifier: Apache-2.0

# The store's benchmark. Its contenders are modules of their own, so that an
# etcd server and SQLite stay out of the project's dependencies.

STOREBENCH_FLAGS ?=

.PHONY: bench-store bench-store-short
bench-store: bin/storebench bin/storebench-etcd bin/storebench-kine ## The store against etcd and kine, in one run (10 minutes)
	bin/storebench $(STOREBENCH_FLAGS)

bench-store-short: bin/storebench bin/storebench-etcd bin/storebench-kine ## The same in a few minutes
	bin/storebench -short $(STOREBENCH_FLAGS)

.PHONY: bin/storebench
bin/storebench:
	go build -o $@ ./test/storebench

bin/storebench-etcd: test/storebench/contenders/etcd/go.mod
	go build -C test/storebench/contenders/etcd -o $(CURDIR)/$@ go.etcd.io/etcd/server/v3

bin/storebench-kine: test/storebench/contenders/kine/go.mod
	CGO_ENABLED=1 go build -C test/storebench/contenders/kine -o $(CURDIR)/$@ github.com/k3s-io/kine
