// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
)

// newCodec returns the codec that one API group is stored with: JSON in the
// given version, decoded into the Go types of that same version, which are the
// ones that registries work on. There is no internal version between.
func newCodec(codecs serializer.CodecFactory, version schema.GroupVersion) (runtime.Codec, error) {
	info, ok := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), runtime.ContentTypeJSON)
	if !ok {
		return nil, fmt.Errorf("no serializer for %s", runtime.ContentTypeJSON)
	}
	return codecs.CodecForVersions(info.Serializer, info.Serializer, version, version), nil
}
