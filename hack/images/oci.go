// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
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

// image is what an image of one layer says of itself.
type image struct {
	name    string
	created time.Time
	labels  map[string]string
	config  map[string]any
}

// descriptor names a blob.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Platform    map[string]string `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// writeImage writes an image with those entries as its layer to a file. The
// file is all of the image or, after an error, what was there before.
func writeImage(name string, entries []entry, img image) (err error) {
	dir, err := os.MkdirTemp(filepath.Dir(name), "."+filepath.Base(name)+".")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	l, err := writeLayer(filepath.Join(dir, "layer"), entries, img.created)
	if err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(dir, "image"))
	if err != nil {
		return err
	}
	if err := errors.Join(img.write(file, l), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), name)
}

// write writes the image as a tarball in the OCI image layout.
func (i image) write(out io.Writer, l layer) error {
	archive := tar.NewWriter(out)
	put := func(name string, size int64, data io.Reader) error {
		header := &tar.Header{Name: name, Mode: 0o644, Size: size, ModTime: i.created, Format: tar.FormatUSTAR}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		_, err := io.Copy(archive, data)
		return err
	}
	putBlob := func(mediaType string, data []byte) (descriptor, error) {
		sum := sha256.Sum256(data)
		d := descriptor{MediaType: mediaType, Digest: digest(sum[:]), Size: int64(len(data))}
		return d, put(d.path(), d.Size, bytes.NewReader(data))
	}

	const layout = `{"imageLayoutVersion":"1.0.0"}`
	if err := put("oci-layout", int64(len(layout)), strings.NewReader(layout)); err != nil {
		return err
	}
	packed, err := os.Open(l.file)
	if err != nil {
		return err
	}
	defer packed.Close()
	if err := put(l.path(), l.Size, packed); err != nil {
		return err
	}
	settings := map[string]any{"Labels": i.labels}
	maps.Copy(settings, i.config)
	config, err := putBlob(mediaConfig, encode(map[string]any{
		"created": i.created.Format(time.RFC3339), "architecture": architecture, "os": "linux",
		"config":  settings,
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{l.diffID}},
		"history": []map[string]any{{"created": i.created.Format(time.RFC3339), "created_by": "hack/images"}},
	}))
	if err != nil {
		return err
	}
	manifest, err := putBlob(mediaManifest, encode(map[string]any{
		"schemaVersion": 2, "mediaType": mediaManifest, "config": config, "layers": []descriptor{l.descriptor}, "annotations": i.labels,
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
	index := encode(map[string]any{
		"schemaVersion": 2, "mediaType": mediaIndex, "manifests": []descriptor{manifest},
	})
	if err := put("index.json", int64(len(index)), bytes.NewReader(index)); err != nil {
		return err
	}
	return archive.Close()
}

// path of the blob in the layout.
func (d descriptor) path() string {
	return "blobs/sha256/" + strings.TrimPrefix(d.Digest, "sha256:")
}

func digest(sum []byte) string { return "sha256:" + hex.EncodeToString(sum) }

// encode marshals; maps are sorted by key, so the bytes are always the same.
func encode(value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err) // strings, numbers, maps and slices always marshal
	}
	return data
}
