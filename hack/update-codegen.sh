#!/usr/bin/env bash
# Copyright 2026 The Safebeam Authors.
# SPDX-License-Identifier: Apache-2.0

# Regenerates all generated code of the tree it stands in: deepcopy, defaults,
# OpenAPI, apply configurations, clientset, listers, informers, and the Go code
# of proto/. Needs Go alone; the generators are pinned in hack/tools.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export CGO_ENABLED=0
module=$(go list -m)
out=pkg/generated
header=$PWD/hack/boilerplate.go.txt
violations=hack/openapi-violations.list
bin=${CODEGEN_BIN:-$PWD/_output/codegen}

# Packages with API types: every apis/GROUP/VERSION.
versions=() packages=()
for dir in apis/*/v[0-9]*; do
  versions+=("${dir#apis/}")
  packages+=("$module/$dir")
done

echo "building the generators"
mkdir -p "$bin"
go -C hack/tools build -o "$bin/" \
  k8s.io/code-generator/cmd/{deepcopy,defaulter,client,lister,informer,applyconfiguration}-gen \
  k8s.io/kube-openapi/cmd/openapi-gen \
  google.golang.org/protobuf/cmd/protoc-gen-go \
  google.golang.org/grpc/cmd/protoc-gen-go-grpc \
  ./protogen

# Types of apimachinery that ours refer to; they are described, not written to.
machinery=(
  k8s.io/apimachinery/pkg/apis/meta/v1
  k8s.io/apimachinery/pkg/api/resource
  k8s.io/apimachinery/pkg/runtime
  k8s.io/apimachinery/pkg/types
  k8s.io/apimachinery/pkg/util/intstr
  k8s.io/apimachinery/pkg/version
)
borrowed=(k8s.io/api/autoscaling/v1 k8s.io/api/networking/v1)
readonly_flags=()
for package in "${machinery[@]}" "${borrowed[@]}" time; do
  readonly_flags+=(--readonly-pkg "$package")
done

echo "deepcopy, defaults"
"$bin/deepcopy-gen" --go-header-file "$header" --output-file zz_generated.deepcopy.go "${packages[@]}"
"$bin/defaulter-gen" --go-header-file "$header" --output-file zz_generated.defaults.go "${packages[@]}"

echo "openapi"
"$bin/openapi-gen" --go-header-file "$header" \
  --output-dir "$out/openapi" --output-pkg "$module/$out/openapi" --output-file zz_generated.openapi.go \
  --output-model-name-file zz_generated.model_name.go \
  --report-filename "$violations" \
  "${readonly_flags[@]}" "${machinery[@]}" "${borrowed[@]}" "${packages[@]}"

# Written beside the old packages and swapped in when complete, so that a failed
# run leaves the old ones and a removed type leaves no file behind.
echo "apply configurations, clientset, listers, informers"
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

# applyconfiguration-gen looks a type up by its Go package, whatever its
# +k8s:openapi-model-package; servers and fake clientsets go by that tag. So it
# gets the schema in the names that it looks for, and what it writes is put back.
to_package='' to_model=''
host=$(tr . '\n' <<<"${module%%/*}" | tac | paste -sd .)
for package in "${packages[@]}"; do
  model=$(sed -n 's,^// +k8s:openapi-model-package=,,p' "${package#"$module/"}/doc.go")
  path=$host.$(tr / . <<<"${package#*/}")
  to_package+="s/\\b${model//./\\.}\\./$path./g;"
  to_model+="s/\\b${path//./\\.}\\./$model./g;"
done
go run ./hack/modelschema | sed "$to_package" >"$stage/models.json"
"$bin/applyconfiguration-gen" --go-header-file "$header" --openapi-schema "$stage/models.json" \
  --output-dir "$stage/applyconfiguration" --output-pkg "$module/$out/applyconfiguration" \
  "${packages[@]}"
find "$stage/applyconfiguration" -name '*.go' -exec sed -i "$to_model" {} +

"$bin/client-gen" --go-header-file "$header" \
  --output-dir "$stage/clientset" --output-pkg "$module/$out/clientset" --clientset-name versioned \
  --apply-configuration-package "$module/$out/applyconfiguration" \
  --input-base "$module/apis" "${versions[@]/#/--input=}"
# The fake guesses what a kind's resource is called; pkg/client/tracker knows.
sed -i -e 's,testing\.New\(FieldManaged\)\?ObjectTracker(,tracker.New\1ObjectTracker(,' \
  -e "/^\tapplyconfiguration \"/i\\\ttracker \"$module/pkg/client/tracker\"" \
  "$stage/clientset/versioned/fake/clientset_generated.go"
"$bin/lister-gen" --go-header-file "$header" \
  --output-dir "$stage/listers" --output-pkg "$module/$out/listers" \
  "${packages[@]}"
"$bin/informer-gen" --go-header-file "$header" \
  --output-dir "$stage/informers" --output-pkg "$module/$out/informers" \
  --versioned-clientset-package "$module/$out/clientset/versioned" --listers-package "$module/$out/listers" \
  "${packages[@]}"

echo "protobuf"
(cd proto && find . -name '*.proto' -printf '%P\0') | LC_ALL=C sort -z |
  xargs -0 "$bin/protogen" -I proto -out "$stage/proto" -plugin "$bin/protoc-gen-go" -plugin "$bin/protoc-gen-go-grpc"

for dir in applyconfiguration clientset listers informers; do
  rm -rf "${out:?}/$dir"
  cp -R "$stage/$dir" "$out/$dir"
done
find proto -name '*.pb.go' -delete
cp -R "$stage/proto/." proto
