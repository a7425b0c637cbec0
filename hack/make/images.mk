# Copyright 2026 The Safebeam Authors.
# SPDX-License-Identifier: Apache-2.0

# Images without a container engine. The same source makes the same bytes.

IMAGES ?= safebeam-apiserver safebeam-controller safebeam-llm-job safebeam
# Programs of the tests on a cluster.
TEST_IMAGES ?= test/fakeprovider/cmd/fakeprovider
IMAGE_REPOSITORY ?= localhost
IMAGE_TAG ?= dev
IMAGES_DIR := _output/images
# The time of everything in an image: that of the last commit.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
REVISION := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)

##@ Images

.PHONY: images
images: image-tarballs ## OCI tarballs of all images into _output/images, loaded into the test cluster if it runs
	@if [[ "$$(hack/cluster/cluster status 2>/dev/null)" == *"containerd           running"* ]]; then \
	  for tarball in $(IMAGES_DIR)/*.tar; do hack/cluster/cluster load-image "$$tarball"; done; \
	else \
	  echo "the test cluster does not run: load $(IMAGES_DIR)/*.tar where they are needed"; \
	fi

# Built from the tree as it is, without what differs between two checkouts of
# it: paths, build identifiers and the state of version control.
.PHONY: image-tarballs
image-tarballs:
	hack/ensure-go.sh
	mkdir -p $(IMAGES_DIR)/bin
	go -C hack/images build -o ../../$(IMAGES_DIR)/bin/images .
	@for program in $(IMAGES:%=cmd/%) $(TEST_IMAGES); do \
	  name=$$(basename $$program); \
	  echo "image $(IMAGE_REPOSITORY)/$$name:$(IMAGE_TAG)"; \
	  CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build -trimpath -buildvcs=false \
	    -ldflags '-s -w -buildid= -X k8s.io/component-base/version.gitVersion=$(K8S_VERSION)+safebeam.$(VERSION)' \
	    -o $(IMAGES_DIR)/bin/$$name ./$$program; \
	  $(IMAGES_DIR)/bin/images -name $(IMAGE_REPOSITORY)/$$name:$(IMAGE_TAG) -modified $(SOURCE_DATE_EPOCH) -revision $(REVISION) \
	    -o $(IMAGES_DIR)/$$name.tar $(IMAGES_DIR)/bin/$$name; \
	done
