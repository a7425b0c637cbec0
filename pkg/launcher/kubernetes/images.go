// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"fmt"
	"path"
	"strings"

	"safebeam.dev/safebeam/pkg/launcher"
)

// SeedImage is the image that the manifests of the project's ancestor name.
const SeedImage = "ghcr.io/calebfaruki/tightbeam-llm-job"

// Images says which image a job runs.
type Images struct {
	// Default is that of models which name none.
	Default string
	// Allowed are patterns as of path.Match, of which an image must match one.
	// An asterisk matches anything but a slash.
	Allowed []string
	// Map replaces images by others, before Allowed is looked at. A name
	// without tag and digest stands for all of that name.
	Map map[string]string
}

// Validate reports what could never match.
func (i Images) Validate() error {
	if i.Default == "" {
		return fmt.Errorf("there is no default image of LLM jobs")
	}
	for _, pattern := range i.Allowed {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("pattern %q of allowed images: %w", pattern, err)
		}
	}
	if _, err := i.resolve(""); err != nil {
		return fmt.Errorf("the default image of LLM jobs: %w", err)
	}
	return nil
}

// resolve returns the image to run for the one that a model names.
func (i Images) resolve(named string) (string, error) {
	image := named
	if image == "" {
		image = i.Default
	}
	if to, ok := i.Map[image]; ok {
		image = to
	} else if to, ok := i.Map[repository(image)]; ok {
		image = to
	}
	for _, pattern := range i.Allowed {
		if ok, err := path.Match(pattern, image); ok && err == nil {
			return image, nil
		}
	}
	message := fmt.Sprintf("image %q is not one of --allowed-job-images", image)
	if image != named && named != "" {
		message += fmt.Sprintf(" (the model names %q)", named)
	}
	return "", &launcher.Refusal{Reason: launcher.ReasonImageNotAllowed, Message: message}
}

// repository is an image's name without tag and digest.
func repository(image string) string {
	name, _, _ := strings.Cut(image, "@")
	if colon := strings.LastIndex(name, ":"); colon > strings.LastIndex(name, "/") {
		name = name[:colon]
	}
	return name
}
