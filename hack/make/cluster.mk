# Copyright 2026 The Safebeam Authors.
# SPDX-License-Identifier: Apache-2.0

##@ On a cluster

.PHONY: cluster
cluster: ## Boot the test cluster of hack/cluster
	hack/cluster/cluster up

.PHONY: e2e-cluster
e2e-cluster: images ## Tests on a real cluster: that of E2E_KUBECONFIG, else hack/cluster
	E2E_CLUSTER=1 go test ./test/cluster -count=1 -timeout=30m $(TESTFLAGS)

.PHONY: bench-cluster
bench-cluster: images ## Time to first token through a real kube-apiserver, warm and cold
	E2E_CLUSTER=1 E2E_BENCH=1 go test ./test/cluster -count=1 -timeout=30m -run '^TestTimeToFirstToken$$'
