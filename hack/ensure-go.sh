#!/usr/bin/env bash
# Copyright 2026 The Safebeam Authors.
# SPDX-License-Identifier: Apache-2.0

# Makes sure that there is a Go to build with. Any Go since 1.21 will do: it
# fetches the one that go.mod asks for.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! command -v go >/dev/null; then
  echo "there is no Go: installing it" >&2
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    as_root=(sudo)
  fi
  if ! command -v apt-get >/dev/null; then
    echo "install Go 1.21 or later, see https://go.dev/doc/install" >&2
    exit 1
  fi
  "${as_root[@]}" apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends golang-go ca-certificates git >&2
fi

wanted=$(sed -n 's/^go //p' go.mod)
if ! got=$(go env GOVERSION 2>&1); then
  echo "cannot get Go $wanted: $got" >&2
  exit 1
fi
if [ "$(printf 'go%s\n%s\n' "$wanted" "$got" | sort -V | head -n 1)" != "go$wanted" ]; then
  echo "Go $wanted is needed, this is $got: unset GOTOOLCHAIN, or install a newer one from https://go.dev/doc/install" >&2
  exit 1
fi
