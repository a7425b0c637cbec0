// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// What withFile has to know of the OCI image format.
type (
	imageBlob struct {
		MediaType   string            `json:"mediaType"`
		Digest      string            `json:"digest"`
		Size        int64             `json:"size"`
		Platform    map[string]string `json:"platform,omitempty"`
		Annotations map[string]string `json:"annotations,omitempty"`
	}
	imageIndex struct {
		SchemaVersion int         `json:"schemaVersion"`
		MediaType     string      `json:"mediaType"`
		Manifests     []imageBlob `json:"manifests"`
	}
	imageManifest struct {
		SchemaVersion int         `json:"schemaVersion"`
		MediaType     string      `json:"mediaType"`
		Config        imageBlob   `json:"config"`
		Layers        []imageBlob `json:"layers"`
	}
	imageConfig struct {
		Architecture string          `json:"architecture"`
		OS           string          `json:"os"`
		Config       json.RawMessage `json:"config"`
		RootFS       struct {
			Type    string   `json:"type"`
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
)

// withFile makes an image of another one and a file above it. The layers of the
// other one are not in it: the node has them.
func withFile(tarball, out, name, file, content string) error {
	of, err := smallFiles(tarball)
	if err != nil {
		return err
	}
	var index imageIndex
	var manifest imageManifest
	var config imageConfig
	if err := json.Unmarshal(of["index.json"], &index); err != nil {
		return err
	}
	if err := json.Unmarshal(of[index.Manifests[0].path()], &manifest); err != nil {
		return err
	}
	if err := json.Unmarshal(of[manifest.Config.path()], &config); err != nil {
		return err
	}

	image := newTarball()
	layer := newTarball()
	layer.put(file, []byte(content))
	above := imageBlob{MediaType: "application/vnd.oci.image.layer.v1.tar"}
	image.blob(&above, layer.close())
	manifest.Layers = append(manifest.Layers, above)
	config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, above.Digest)
	image.blob(&manifest.Config, encode(config))
	image.blob(&index.Manifests[0], encode(manifest))
	index.Manifests[0].Annotations = map[string]string{"io.containerd.image.name": name}
	image.put("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	image.put("index.json", encode(index))
	return errors.Join(os.WriteFile(out, image.close(), 0o600), layer.err, image.err)
}

func (b *imageBlob) path() string {
	return path.Join("blobs/sha256", strings.TrimPrefix(b.Digest, "sha256:"))
}

func encode(value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err) // no type of an image has such values
	}
	return data
}

// tarball is an archive in memory.
type tarball struct {
	archive *tar.Writer
	data    *bytes.Buffer
	err     error
}

func newTarball() *tarball {
	data := &bytes.Buffer{}
	return &tarball{archive: tar.NewWriter(data), data: data}
}

func (t *tarball) put(name string, data []byte) {
	t.err = errors.Join(t.err, t.archive.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}))
	_, err := t.archive.Write(data)
	t.err = errors.Join(t.err, err)
}

// blob puts what the descriptor then describes.
func (t *tarball) blob(b *imageBlob, data []byte) {
	b.Digest, b.Size = fmt.Sprintf("sha256:%x", sha256.Sum256(data)), int64(len(data))
	t.put(b.path(), data)
}

func (t *tarball) close() []byte {
	t.err = errors.Join(t.err, t.archive.Close())
	return t.data.Bytes()
}

// smallFiles are what an archive has, but for layers.
func smallFiles(name string) (map[string][]byte, error) {
	const most = 1 << 20
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	files := map[string][]byte{}
	for archive := tar.NewReader(file); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if header.Size > most {
			continue
		}
		if files[header.Name], err = io.ReadAll(archive); err != nil {
			return nil, err
		}
	}
}
