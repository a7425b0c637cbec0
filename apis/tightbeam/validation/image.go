// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"bytes"
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"safebeam.dev/safebeam/apis/internal/check"
	v1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// The media types that all providers with eyes take.
var mediaTypes = []string{"image/png", "image/jpeg", "image/gif", "image/webp"}

func image(image *v1.ImageBlock, path *field.Path) field.ErrorList {
	errs := check.OneOf(image.MediaType, path.Child("mediaType"), mediaTypes...)
	if len(image.Data) == 0 {
		return append(errs, field.Required(path.Child("data"), "the picture's file, in base64"))
	}
	if len(errs) > 0 {
		return errs
	}
	// A provider fails the whole turn over a picture that is not what it says.
	switch found := sniff(image.Data); found {
	case image.MediaType:
	case "":
		errs = append(errs, field.Invalid(path.Child("data"), field.OmitValueType{}, "is no "+image.MediaType+": its first bytes are of no picture that is supported"))
	default:
		errs = append(errs, field.Invalid(path.Child("mediaType"), image.MediaType, fmt.Sprintf("the data is of type %s: say so", found)))
	}
	return errs
}

// sniff tells a picture's type by its first bytes; "" is none of mediaTypes.
func sniff(data []byte) string {
	switch {
	case bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")):
		return "image/png"
	case bytes.HasPrefix(data, []byte("\xff\xd8\xff")):
		return "image/jpeg"
	case bytes.HasPrefix(data, []byte("GIF87a")), bytes.HasPrefix(data, []byte("GIF89a")):
		return "image/gif"
	case len(data) >= 12 && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP":
		return "image/webp"
	}
	return ""
}
