// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// userID is the account that everything runs as.
const userID = 65532

// rootOf is what is in the image of a program.
func rootOf(program string) ([]entry, error) {
	data, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	if err := static(data); err != nil {
		return nil, fmt.Errorf("%s: %w", program, err)
	}
	materials, err := materialsOf(program, data)
	if err != nil {
		return nil, err
	}
	name := filepath.Base(program)
	account := func(format string) []byte { return fmt.Appendf(nil, format, userID) }
	return []entry{
		{name: "etc/", mode: 0o755},
		{name: "etc/group", mode: 0o644, data: account("nonroot:x:%d:\n")},
		{name: "etc/passwd", mode: 0o644, data: account("nonroot:x:%[1]d:%[1]d:nonroot:/:/nologin\n")},
		{name: "etc/ssl/", mode: 0o755},
		{name: "etc/ssl/certs/", mode: 0o755},
		{name: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, data: roots()},
		{name: name, mode: 0o755, data: data},
		{name: "usr/", mode: 0o755},
		{name: "usr/share/", mode: 0o755},
		{name: "usr/share/sbom/", mode: 0o755},
		{name: "usr/share/sbom/" + name + ".cdx.json", mode: 0o644, data: materials},
	}, nil
}

// static refuses a program that would look for a loader or libraries.
func static(data []byte) error {
	parsed, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return err
	}
	for _, segment := range parsed.Progs {
		if segment.Type == elf.PT_INTERP {
			return fmt.Errorf("it is linked dynamically: build it with CGO_ENABLED=0")
		}
	}
	return nil
}

func roots() []byte {
	var out []byte
	for root := range bundle.Roots() {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})...)
	}
	return out
}

// component is a part of a CycloneDX list.
type component struct {
	Type    string `json:"type"`
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	PURL    string `json:"purl,omitempty"`
	Hashes  []hash `json:"hashes,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

// materialsOf lists what a program was built from, as CycloneDX.
func materialsOf(program string, data []byte) ([]byte, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	type metadata struct {
		Component component `json:"component"`
	}
	list := struct {
		Format      string      `json:"bomFormat"`
		SpecVersion string      `json:"specVersion"`
		Version     int         `json:"version"`
		Metadata    metadata    `json:"metadata"`
		Components  []component `json:"components"`
	}{
		Format: "CycloneDX", SpecVersion: "1.5", Version: 1,
		Metadata: metadata{component{
			Type: "application", Name: info.Path,
			Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}},
		}},
		Components: []component{{Type: "library", Name: "std", Version: info.GoVersion, PURL: "pkg:golang/std@" + info.GoVersion[2:]}},
	}
	for _, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		list.Components = append(list.Components, component{
			Type: "library", Name: module.Path, Version: module.Version, PURL: "pkg:golang/" + module.Path + "@" + module.Version,
		})
	}
	return json.MarshalIndent(list, "", " ")
}
