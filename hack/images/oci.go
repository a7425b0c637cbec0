// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	mediaIndex    = "application/vnd.oci.image.index.v1+json"
	mediaManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaConfig   = "application/vnd.oci.image.config.v1+json"
	mediaLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
	architecture  = "amd64"
)

// image is an image of one layer.
type image struct {
	name, revision, entrypoint string
	created                    time.Time
	layer                      []byte // tar
}

// descriptor names a blob.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    map[string]string `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// write writes the image as a tarball in the OCI image layout.
func (i image) write(out io.Writer) error {
	archive := tar.NewWriter(out)
	put := func(name string, data []byte) error {
		header := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(data)), ModTime: i.created, Format: tar.FormatUSTAR}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		_, err := archive.Write(data)
		return err
	}
	putBlob := func(mediaType string, data []byte) (descriptor, error) {
		d := descriptor{MediaType: mediaType, Digest: digestOf(data), Size: len(data)}
		return d, put("blobs/sha256/"+strings.TrimPrefix(d.Digest, "sha256:"), data)
	}

	if err := put("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return err
	}
	packed, err := pack(i.layer)
	if err != nil {
		return err
	}
	layer, err := putBlob(mediaLayer, packed)
	if err != nil {
		return err
	}
	labels := map[string]string{
		"org.opencontainers.image.licenses": "Apache-2.0",
		"org.opencontainers.image.revision": i.revision,
	}
	config, err := putBlob(mediaConfig, encode(map[string]any{
		"created": i.created.Format(time.RFC3339), "architecture": architecture, "os": "linux",
		"config": map[string]any{
			"Entrypoint": []string{i.entrypoint},
			"User":       fmt.Sprintf("%[1]d:%[1]d", userID),
			"WorkingDir": "/",
			"Labels":     labels,
		},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{digestOf(i.layer)}},
		"history": []map[string]any{{"created": i.created.Format(time.RFC3339), "created_by": "hack/images"}},
	}))
	if err != nil {
		return err
	}
	manifest, err := putBlob(mediaManifest, encode(map[string]any{
		"schemaVersion": 2, "mediaType": mediaManifest, "config": config, "layers": []descriptor{layer}, "annotations": labels,
	}))
	if err != nil {
		return err
	}
	manifest.Platform = map[string]string{"architecture": architecture, "os": "linux"}
	_, tag, _ := strings.Cut(i.name[strings.LastIndex(i.name, "/")+1:], ":")
	manifest.Annotations = map[string]string{
		"io.containerd.image.name":          i.name, // what a node's containerd calls it
		"org.opencontainers.image.ref.name": tag,
	}
	if err := put("index.json", encode(map[string]any{
		"schemaVersion": 2, "mediaType": mediaIndex, "manifests": []descriptor{manifest},
	})); err != nil {
		return err
	}
	return archive.Close()
}

func pack(data []byte) ([]byte, error) {
	var out bytes.Buffer
	// The fastest level: most images are loaded, not sent.
	writer, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := writer.Write(data); err != nil {
		return nil, err
	}
	err = writer.Close()
	return out.Bytes(), err
}

// encode marshals; maps are sorted by key, so the bytes are always the same.
func encode(value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err) // strings, numbers, maps and slices always marshal
	}
	return data
}
