# Copyright 2026 The Safebeam Authors.
# SPDX-License-Identifier: Apache-2.0

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# Packages of `make test`, and more flags for go test: make test PKG=./apis/... TESTFLAGS=-race
PKG ?= ./...
TESTFLAGS ?=
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

K8S_VERSION := $(shell sed -n 's/^\tk8s.io\/apiserver v0\./v1./p' go.mod)
# kubectl finds these on PATH; the last two answer its shell completion, which asks
# nobody for what stands behind its own create.
LINKS := kubectl-create-conversation kubectl-create-turn kubectl-chat kubectl-sandbox \
	kubectl_complete-chat kubectl_complete-sandbox

# Where hack/ensure-go.sh puts Go if the one there is too old.
export PATH := $(CURDIR)/_output/go/bin:$(PATH)

# Nothing of ours needs cgo but the race detector.
export CGO_ENABLED ?= $(if $(findstring -race,$(TESTFLAGS)),1,0)

# Without it gRPC links a page for browsers, and its templates: 4 of 17 MB of sandboxd,
# nearly 2 of which are resident.
BUILDTAGS ?= grpcnotrace

##@ Use it

.PHONY: run
run: ## Start everything on this machine, ask a model something, leave it running
	@hack/run.sh

.PHONY: stop
stop: ## End the server that `make run` left in the background
	@hack/run.sh stop

.PHONY: help
help: ## This text
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Build it

.PHONY: build
build: ## All programs, and kubectl's plugins, into bin/
	hack/ensure-go.sh
	go build -tags '$(BUILDTAGS)' -ldflags '-X k8s.io/component-base/version.gitVersion=$(K8S_VERSION)+safebeam.$(VERSION)' -o bin/ ./cmd/...
	@for plugin in $(LINKS); do ln -sfn safebeam "bin/$$plugin"; done

bin/kubectl: hack/tools/kubectl/go.mod hack/tools/kubectl/main.go
	hack/ensure-go.sh
	go -C hack/tools/kubectl build -trimpath -ldflags '-s -w -X k8s.io/component-base/version.gitVersion=$(K8S_VERSION)' -o ../../../bin/kubectl .

.PHONY: kubectl
kubectl: bin/kubectl ## kubectl itself into bin/, for machines without one

.PHONY: generate
generate: ## Write all generated code anew
	hack/ensure-go.sh
	hack/update-codegen.sh

.PHONY: clean
clean: ## Remove what was built; data under _output/standalone stays
	rm -rf bin _output/codegen _output/verify

##@ Test it

# What takes the real programs and minutes has targets of its own.
SLOW := ./test/e2e ./test/neverlost

.PHONY: test
test: ## Unit and integration tests; PKG=./apis/... TESTFLAGS=-race
	hack/ensure-go.sh
	go test -timeout 30m $(TESTFLAGS) $$(go list $(PKG) | grep -vE '/test/(e2e|neverlost|cluster)$$')

.PHONY: e2e
e2e: e2e-standalone e2e-cluster ## All end-to-end tests: standalone, and on a cluster that is booted for them (or E2E_KUBECONFIG's)

.PHONY: e2e-standalone
e2e-standalone: kubectl ## The real programs, used as their users do, and killed a few times
	go test -count=1 -timeout 30m $(TESTFLAGS) $(SLOW)

.PHONY: torture
torture: ## Faults and power cuts in the store, 20 rounds for each kill of the programs: ROUNDS=200
	TORTURE_ROUNDS=$$((20 * $(ROUNDS))) go test -timeout 6h -run NothingAcknowledgedIsLost -v $(TESTFLAGS) ./pkg/storage/bbolt/
	NEVERLOST_ROUNDS=$(ROUNDS) go test -timeout 6h -v -run Kill $(TESTFLAGS) ./test/neverlost

ROUNDS ?= 200

.PHONY: verify
verify: ## Generated code, format, vet, staticcheck, licences, layers, vulnerabilities
	hack/verify.sh

##@ Measure it

.PHONY: bench
bench: build bin/storebench bin/storebench-etcd ## Turns, streams and, beside etcd, the store in numbers; BENCHFLAGS=-short
	go build -o bin/ ./test/fakeprovider/cmd/fakeprovider
	go run ./test/bench $(BENCHFLAGS)
	bin/storebench -contenders safebeam,etcd -sections disk,rounds,fanout,cache,restart $(filter -short,$(BENCHFLAGS))

.PHONY: bench-sandboxes
bench-sandboxes: build ## Exec, files and cold starts of local sandboxes
	go run ./test/sandboxbench $(BENCHFLAGS)

# In the order that `make help` shows them in: the first three go on with what is measured.
include $(patsubst %,hack/make/%.mk,storebench warmpool soak cluster images)
