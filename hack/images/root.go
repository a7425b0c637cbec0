// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
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
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// userID is the account that everything runs as.
const userID = 65532

// file is one file or, with a name that ends in a slash, folder of the image.
type file struct {
	name string
	mode int64
	data []byte
}

// rootOf is what is in the image of a program.
func rootOf(program string) ([]file, error) {
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
	return []file{
		{"etc/", 0o755, nil},
		{"etc/group", 0o644, account("nonroot:x:%d:\n")},
		{"etc/passwd", 0o644, account("nonroot:x:%[1]d:%[1]d:nonroot:/:/nologin\n")},
		{"etc/ssl/", 0o755, nil},
		{"etc/ssl/certs/", 0o755, nil},
		{"etc/ssl/certs/ca-certificates.crt", 0o644, roots()},
		{name, 0o755, data},
		{"usr/", 0o755, nil},
		{"usr/share/", 0o755, nil},
		{"usr/share/sbom/", 0o755, nil},
		{"usr/share/sbom/" + name + ".cdx.json", 0o644, materials},
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

// writeLayer is the files as a tar archive.
func writeLayer(files []file, modified time.Time) ([]byte, error) {
	var out bytes.Buffer
	writer := tar.NewWriter(&out)
	for _, f := range files {
		header := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.data)), ModTime: modified, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		if f.name[len(f.name)-1] == '/' {
			header.Typeflag = tar.TypeDir
		}
		if err := writer.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := writer.Write(f.data); err != nil {
			return nil, err
		}
	}
	err := writer.Close()
	return out.Bytes(), err
}
