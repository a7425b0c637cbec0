# Copyright 2026 The Safebeam Authors.
# SPDX-License-Identifier: Apache-2.0

##@ On a cluster

.PHONY: cluster
cluster: ## Boot the test cluster of hack/cluster
	hack/cluster/cluster up

# Tests on a cluster run on that of E2E_KUBECONFIG, which has our images; else on
# hack/cluster, which is up for as long as they run, or as it was up before.
ON_CLUSTER := $(if $(E2E_KUBECONFIG),PATH="$$PATH:$(CURDIR)/bin",E2E_CLUSTER=1 hack/cluster/cluster run)
NEEDS := $(if $(E2E_KUBECONFIG),kubectl,image-tarballs)

.PHONY: e2e-cluster
e2e-cluster: $(NEEDS) ## End-to-end tests as it is deployed; E2E_KUBECONFIG=… for any cluster
	$(ON_CLUSTER) go test ./test/cluster -count=1 -timeout=60m $(TESTFLAGS)

.PHONY: bench-cluster
bench-cluster: $(NEEDS) ## Time to first token, load and requests through a real kube-apiserver; BENCHFLAGS=-short
	E2E_BENCH=1 $(ON_CLUSTER) go test ./test/cluster -count=1 -timeout=60m -run '^TestBench' -v $(BENCHFLAGS)
