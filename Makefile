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
PLUGINS := kubectl-create-conversation kubectl-create-turn kubectl-chat kubectl-sandbox

export CGO_ENABLED ?= 0

##@ Use it

.PHONY: run
run: ## Start everything on this machine, ask a model something, leave it running
	hack/run.sh

.PHONY: stop
stop: ## End the server that `make run` left in the background
	hack/run.sh stop

##@ Build it

.PHONY: build
build: ## All programs, and kubectl's plugins, into bin/
	hack/ensure-go.sh
	go build -trimpath -ldflags '-X k8s.io/component-base/version.gitVersion=$(K8S_VERSION)+safebeam.$(VERSION)' -o bin/ ./cmd/...
	@for plugin in $(PLUGINS); do ln -sfn safebeam "bin/$$plugin"; done

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

.PHONY: test
test: ## Unit and integration tests; PKG=./apis/... TESTFLAGS=-race
	go test $(TESTFLAGS) $(PKG)

.PHONY: verify
verify: ## Generated code, format, vet, staticcheck, licences, layers, vulnerabilities
	hack/verify.sh

.PHONY: help
help: ## This text
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
