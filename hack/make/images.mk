# Copyright 2026 The Safebeam Authors.
# SPDX-License-Identifier: Apache-2.0

# Images without a container engine. The same source makes the same bytes, and
# so do the same packages of Debian.

IMAGES ?= safebeam-apiserver safebeam-controller safebeam-llm-job safebeam
# What the init container of a sandbox copies beside any runtime.
AGENT_IMAGE ?= sandboxd
# Languages of hack/images/runtimes.go, with the tags of their images. Needs apt
# on the machine; `make images RUNTIMES=` leaves them out.
RUNTIMES ?= python:3.11 nodejs:18
# Where packages and finished runtimes are kept: what is made of the same
# packages is not made again.
RUNTIMES_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/safebeam-images
# More flags, such as -mirror=http://mirror.example.org or -max-age=0s.
RUNTIMESFLAGS ?=
# Programs of the tests on a cluster.
TEST_IMAGES ?= test/fakeprovider/cmd/fakeprovider test/cluster/probe
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
image-tarballs: runtime-tarballs
	@for program in $(IMAGES:%=cmd/%) $(AGENT_IMAGE:%=cmd/%) $(TEST_IMAGES); do \
	  program_name=$$(basename $$program); \
	  name=$$program_name; [[ $$name != sandboxd ]] || name=safebeam-sandboxd; \
	  echo "image $(IMAGE_REPOSITORY)/$$name:$(IMAGE_TAG)"; \
	  CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build -tags '$(BUILDTAGS)' -trimpath -buildvcs=false \
	    -ldflags '-s -w -buildid= -X k8s.io/component-base/version.gitVersion=$(K8S_VERSION)+safebeam.$(VERSION)' \
	    -o $(IMAGES_DIR)/bin/$$program_name ./$$program; \
	  $(IMAGES_DIR)/bin/images program -name $(IMAGE_REPOSITORY)/$$name:$(IMAGE_TAG) -modified $(SOURCE_DATE_EPOCH) -revision $(REVISION) \
	    -o $(IMAGES_DIR)/$$name.tar $(IMAGES_DIR)/bin/$$program_name; \
	done

.PHONY: runtime-tarballs
runtime-tarballs: $(IMAGES_DIR)/bin/images
	@for runtime in $(RUNTIMES); do \
	  name=safebeam-runtime-$${runtime%%:*}; \
	  echo "image $(IMAGE_REPOSITORY)/$$name:$${runtime#*:}"; \
	  $(IMAGES_DIR)/bin/images runtime -name $(IMAGE_REPOSITORY)/$$name:$${runtime#*:} -cache $(RUNTIMES_CACHE) $(RUNTIMESFLAGS) \
	    -o $(IMAGES_DIR)/$$name.tar $${runtime%%:*}; \
	done

# What made a runtime is part of what its bytes hang on.
$(IMAGES_DIR)/bin/images: $(wildcard hack/images/*.go) hack/images/go.mod
	hack/ensure-go.sh
	mkdir -p $(@D)
	go -C hack/images test .
	go -C hack/images build -trimpath -buildvcs=false -ldflags '-buildid=' -o ../../$@ .
