#!/usr/bin/env bash
# Copyright 2026 The Safebeam Authors.
# SPDX-License-Identifier: Apache-2.0

# Makes sure that there is a Go to build with. Since 1.21, Go fetches the
# version that go.mod asks for by itself. An older one, such as a distribution
# may have, is used to fetch it in the same way, checksums and all, to
# _output/go, which make puts on PATH.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export PATH=$PWD/_output/go/bin:$PATH
wanted=$(sed -n 's/^go //p' go.mod)

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

if ! command -v go >/dev/null; then
  if ! command -v apt-get >/dev/null; then
    echo "there is no Go, and no apt-get to install it with: see https://go.dev/doc/install" >&2
    exit 1
  fi
  echo "there is no Go: installing it" >&2
  as_root apt-get update -qq >&2
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends golang-go ca-certificates git >&2
fi

# new_enough VERSION: whether it is at least the one wanted.
new_enough() { [ "$(printf 'go%s\n%s\n' "$wanted" "$1" | sort -V | head -n 1)" = "go$wanted" ]; }

if got=$(go env GOVERSION 2>/dev/null) && new_enough "$got"; then
  exit 0
fi

# Toolchains are modules. Go before 1.21 knows nothing of that, but modules.
module=golang.org/toolchain@v0.0.1-go$wanted.$(cd / && go env GOOS)-$(cd / && go env GOARCH)
echo "this is $(cd / && go version): fetching Go $wanted" >&2
empty=$(mktemp -d)
trap 'rm -rf "$empty"' EXIT
(cd "$empty" && printf 'module empty\n' >go.mod && go mod download -json "$module") >"$empty/download" || {
  cat "$empty/download" >&2
  echo "could not fetch it: install Go $wanted from https://go.dev/doc/install" >&2
  exit 1
}
rm -rf _output/go
mkdir -p _output
cp -R "$(sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p' "$empty/download")" _output/go
# Modules have neither write nor execute bits.
chmod -R u+w _output/go
chmod +x _output/go/bin/* _output/go/pkg/tool/*/*
hash -r
new_enough "$(go env GOVERSION)"
