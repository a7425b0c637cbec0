// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"k8s.io/client-go/rest"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// Log yields the messages of a conversation that are in its log now, those
// with an index above after. client is a REST client of group tightbeam.dev.
func Log(ctx context.Context, client rest.Interface, namespace, conversation string, after int64) iter.Seq2[tightbeamv1.LogEntry, error] {
	return func(yield func(tightbeamv1.LogEntry, error) bool) {
		err := readLog(ctx, client, namespace, conversation, after, yield)
		if err != nil && !errors.Is(err, errStopped) {
			yield(tightbeamv1.LogEntry{}, fmt.Errorf("reading the log of conversation %s/%s: %w", namespace, conversation, err))
		}
	}
}

func readLog(ctx context.Context, client rest.Interface, namespace, conversation string, after int64, yield func(tightbeamv1.LogEntry, error) bool) error {
	body, err := openLog(ctx, client, namespace, "conversations", conversation, after, false)
	if err != nil {
		return err
	}
	return readLines(body, yield)
}

// readLines yields what is there, and ends where it ends.
func readLines[E any](body io.ReadCloser, yield func(E, error) bool) error {
	defer body.Close()
	lines := newLineReader(body)
	for {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var entry E
		if err := json.Unmarshal(line, &entry); err != nil {
			return &malformedError{line: line, err: err}
		}
		if !yield(entry, nil) {
			return errStopped
		}
	}
}
