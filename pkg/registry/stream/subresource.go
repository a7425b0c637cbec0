// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"net/http"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
)

// Subresource is what all subresources that are streams have in common, as
// rest.Connecter and rest.StorageMetadata ask for it. What they belong to and how
// a request is served is each one's own.
type Subresource struct{}

var _ rest.StorageMetadata = Subresource{}

// Destroy does nothing: the storage is the resource's.
func (Subresource) Destroy() {}

// ConnectMethods is GET alone.
func (Subresource) ConnectMethods() []string { return []string{http.MethodGet} }

// NewConnectOptions is nothing: the parameters are read by the handler, which
// refuses those that it does not know.
func (Subresource) NewConnectOptions() (runtime.Object, bool, string) { return nil, false, "" }

// ProducesMIMETypes is for OpenAPI.
func (Subresource) ProducesMIMETypes(string) []string { return MediaTypes() }

// ProducesObject is for OpenAPI.
func (Subresource) ProducesObject(string) any { return "" }
