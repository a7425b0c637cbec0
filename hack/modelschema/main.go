// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Command modelschema prints the OpenAPI definitions of all our types as one
// document. applyconfiguration-gen builds the typed extraction functions from it.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"safebeam.dev/safebeam/pkg/generated/openapi"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "modelschema:", err)
		os.Exit(1)
	}
}

func run() error {
	definitions := openapi.GetOpenAPIDefinitions(func(name string) spec.Ref {
		return spec.MustCreateRef("#/definitions/" + name)
	})
	models := make(map[string]spec.Schema, len(definitions))
	for name, definition := range definitions {
		schema := definition.Schema
		// What is written in OpenAPI v2 may differ from v3.
		if v2, ok := definition.Schema.Extensions[common.ExtensionV2Schema]; ok {
			if override, ok := v2.(spec.Schema); ok {
				schema = override
			}
		}
		models[name] = schema
	}
	return json.NewEncoder(os.Stdout).Encode(&spec.Swagger{
		SwaggerProps: spec.SwaggerProps{
			Swagger:     "2.0",
			Definitions: models,
			Info: &spec.Info{InfoProps: spec.InfoProps{
				Title: "Safebeam", Version: "unversioned",
			}},
		},
	})
}
