#!/usr/bin/env bash
# Copyright 2026 The Safebeam Authors.
# SPDX-License-Identifier: Apache-2.0

# Checks the tree it stands in. Every check runs, whatever those before it said.
#
#   hack/verify.sh [CHECK...]      without a name: all of them

set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

export CGO_ENABLED=0 # as everything else is built, so that the build cache serves all

root=$PWD
module=$(go list -m)
bin=$root/_output/verify
mkdir -p "$bin"

# Files that are ours: known to git or about to be.
ours() { git ls-files --cached --others --exclude-standard -- "$@" | while read -r f; do [ -e "$f" ] && echo "$f"; done; }
generated='^pkg/generated/|(^|/)zz_generated\.|\.pb\.go$'

tool() { # package: builds a pinned tool, prints its path
  local path=$bin/${1##*/}
  go -C hack/tools build -o "$path" "$1" >&2 && echo "$path"
}

# Generated code is what the generators make of the types now.
check_generated() {
  local copy
  copy=$(mktemp -d)
  ours apis proto pkg/generated hack go.mod go.sum | tar -cf - -T - | tar -xf - -C "$copy"
  if CODEGEN_BIN=$root/_output/codegen "$copy/hack/update-codegen.sh" >"$bin/codegen.log" 2>&1; then
    local difference=0
    for path in apis proto pkg/generated hack/openapi-violations.list; do
      diff -ruN "$path" "$copy/$path" | head -n 40
      [ "${PIPESTATUS[0]}" -eq 0 ] || difference=1
    done
    [ $difference -eq 0 ] || echo "run: make generate"
    rm -rf "$copy"
    return $difference
  fi
  tail -n 40 "$bin/codegen.log"
  rm -rf "$copy"
  return 1
}

check_format() {
  local files
  files=$(ours '*.go' | grep -vE "$generated" | xargs gofmt -l)
  [ -z "$files" ] || { echo "run gofmt -w on:"; echo "$files"; return 1; }
}

check_vet() { go vet ./... && go -C hack/tools vet ./...; }

# Generated code answers to its generators.
check_staticcheck() {
  local staticcheck
  staticcheck=$(tool honnef.co/go/tools/cmd/staticcheck) &&
    go list ./... | grep -v "^$module/pkg/generated/" | xargs "$staticcheck"
}

check_licence() {
  local missing
  missing=$(ours '*.go' '*.sh' '*.py' Makefile '*/Makefile' | grep -vE '\.pb\.go$' | while read -r file; do
    head -n 12 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "$file"
  done)
  [ -z "$missing" ] || { echo "no licence header in:"; echo "$missing"; return 1; }
}

# One minor version of everything that Kubernetes releases together, and never
# its main module, which is no library.
check_kubernetes() {
  local modules minors
  modules=$(go list -m -f '{{.Path}} {{.Version}}' all | grep -E '^k8s\.io/[a-z-]+ v0\.[0-9]+\.[0-9]+$' | grep -vE '^k8s\.io/(kube-openapi|utils|gengo) ')
  minors=$(cut -d' ' -f2 <<<"$modules" | cut -d. -f1,2 | sort -u)
  if [ "$(wc -l <<<"$minors")" -ne 1 ]; then
    echo "different minor versions of Kubernetes:"
    echo "$modules"
    return 1
  fi
  if go list -m all | grep -E '^k8s\.io/kubernetes '; then
    echo "is in the module graph"
    return 1
  fi
}

# Dependencies point one way, and what handles secrets is linked into what
# needs it alone.
check_layers() {
  local failed=0 found package
  found=$(go list -deps -f '{{if not .Standard}}{{.ImportPath}}{{end}}' ./apis/... | grep "^$module/" | grep -v "^$module/apis/")
  [ -z "$found" ] || { echo "apis imports:"; echo "$found"; failed=1; }
  found=$(go list -deps ./pkg/storage/... 2>/dev/null | grep -E "^$module/(cmd|pkg/(apiserver|registry|gateway|controller|cli))(/|$)")
  [ -z "$found" ] || { echo "pkg/storage imports:"; echo "$found"; failed=1; }
  found=$(go list -deps ./pkg/registry/... ./pkg/gateway/... 2>/dev/null | grep -E "^$module/(cmd|pkg/(apiserver|controller|cli))(/|$)")
  [ -z "$found" ] || { echo "pkg/registry and pkg/gateway import:"; echo "$found"; failed=1; }
  for package in $(go list ./cmd/... | grep -v '/cmd/safebeam-llm-job$'); do
    found=$(go list -deps "$package" | grep -E '^(github.com/anthropics/|github.com/openai/|google.golang.org/genai)')
    [ -z "$found" ] || { echo "$package links an SDK that is for safebeam-llm-job alone:"; echo "$found"; failed=1; }
  done
  return $failed
}

# go.mod lists what is imported, and the modules are what go.sum says.
check_modules() {
  local failed=0 dir
  for dir in . hack/tools hack/tools/kubectl; do
    go -C "$dir" mod tidy -diff || { echo "in $dir run: go mod tidy"; failed=1; }
    go -C "$dir" mod verify >/dev/null || failed=1
  done
  return $failed
}

check_shell() {
  command -v shellcheck >/dev/null || { echo "skipped: there is no shellcheck"; return 0; }
  ours '*.sh' .ci/run | xargs shellcheck --severity=warning
}

check_vulnerabilities() {
  local govulncheck status=0
  govulncheck=$(tool golang.org/x/vuln/cmd/govulncheck) || return 1
  "$govulncheck" ./... >"$bin/vulnerabilities.log" 2>&1 || status=$?
  if [ $status -ne 0 ] && grep -q 'fetching vulnerabilities' "$bin/vulnerabilities.log"; then
    echo "skipped: the vulnerability database cannot be reached from here"
    return 0
  fi
  [ $status -eq 0 ] || tail -n 60 "$bin/vulnerabilities.log"
  return $status
}

all=(format licence kubernetes layers modules shell vet staticcheck generated vulnerabilities)
[ $# -gt 0 ] || set -- "${all[@]}"
failed=()
for check in "$@"; do
  if ! declare -F "check_$check" >/dev/null; then
    echo "no check is called $check; there are ${all[*]}" >&2
    exit 2
  fi
  output=$("check_$check" 2>&1) && result=ok || { result=FAILED; failed+=("$check"); }
  printf '%-16s %s\n' "$check" "$result"
  [ -z "$output" ] || sed 's/^/    /' <<<"$output"
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "verify: failed: ${failed[*]}"
  exit 1
fi
echo "verify: $# checks passed"
