// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"mime"
	"strconv"
	"strings"
)

const (
	mediaTypeNDJSON = "application/x-ndjson"
	mediaTypeSSE    = "text/event-stream"
)

// encoding is one of the two forms of a stream.
type encoding struct {
	contentType string
	// append writes a record behind buffer.
	append func(buffer []byte, record Record) []byte
	// idle is what is sent when nothing happens for a while, so that what
	// lies between does not take the connection for dead. Parsers of either
	// form skip it.
	idle []byte
}

var ndjson = encoding{
	contentType: mediaTypeNDJSON,
	append: func(buffer []byte, record Record) []byte {
		return append(append(buffer, record.Data...), '\n')
	},
	idle: []byte("\n"),
}

var serverSentEvents = encoding{
	contentType: mediaTypeSSE,
	append: func(buffer []byte, record Record) []byte {
		buffer = append(buffer, "id: "...)
		buffer = strconv.AppendInt(buffer, record.Number, 10)
		buffer = append(buffer, "\ndata: "...)
		buffer = append(buffer, record.Data...)
		return append(buffer, "\n\n"...)
	},
	idle: []byte(": idle\n\n"),
}

// negotiate chooses the form. Server-sent events are for those who name them
// and prefer nothing else; everybody else, kubectl get --raw included, gets
// NDJSON.
func negotiate(accept []string) encoding {
	var events, other float64
	for _, header := range accept {
		for part := range strings.SplitSeq(header, ",") {
			mediaType, params, err := mime.ParseMediaType(part)
			if err != nil {
				continue
			}
			quality := 1.0
			if q, ok := params["q"]; ok {
				if quality, err = strconv.ParseFloat(q, 64); err != nil {
					continue
				}
			}
			if mediaType == mediaTypeSSE {
				events = max(events, quality)
			} else if mediaType != "*/*" {
				other = max(other, quality)
			}
		}
	}
	if events > 0 && events >= other {
		return serverSentEvents
	}
	return ndjson
}

// MediaTypes are the two forms, for OpenAPI.
func MediaTypes() []string { return []string{mediaTypeNDJSON, mediaTypeSSE} }
