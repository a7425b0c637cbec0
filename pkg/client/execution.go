// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"k8s.io/client-go/rest"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// Execution yields the events of an execution with numbers above after, as they
// happen, and ends behind the terminal one, as StreamFrom does for turns. With a
// stream, of output that of this stream alone. client is a REST client of group
// llmsafespace.dev whose timeout is zero.
func Execution(ctx context.Context, client rest.Interface, namespace, execution string, stream llmsafespacev1.OutputStream, after int64) iter.Seq2[llmsafespacev1.ExecutionEvent, error] {
	return func(yield func(llmsafespacev1.ExecutionEvent, error) bool) {
		f := &follower[llmsafespacev1.ExecutionEvent]{
			open: func(ctx context.Context, after int64) (io.ReadCloser, error) {
				return openLog(ctx, client, namespace, "executions", execution, after, true, filter(stream)...)
			},
			number:   func(e *llmsafespacev1.ExecutionEvent) int64 { return e.Number },
			terminal: func(e *llmsafespacev1.ExecutionEvent) bool { return e.Type.Terminal() },
			after:    after,
		}
		if err := f.run(ctx, yield); err != nil {
			yield(llmsafespacev1.ExecutionEvent{}, fmt.Errorf("reading execution %s/%s: %w", namespace, execution, err))
		}
	}
}

// ExecutionLog yields the events of an execution with numbers above after that
// there are now; see Execution.
func ExecutionLog(ctx context.Context, client rest.Interface, namespace, execution string, stream llmsafespacev1.OutputStream, after int64) iter.Seq2[llmsafespacev1.ExecutionEvent, error] {
	return func(yield func(llmsafespacev1.ExecutionEvent, error) bool) {
		body, err := openLog(ctx, client, namespace, "executions", execution, after, false, filter(stream)...)
		if err == nil {
			err = readLines(body, yield)
		}
		if err != nil && !errors.Is(err, errStopped) {
			yield(llmsafespacev1.ExecutionEvent{}, fmt.Errorf("reading execution %s/%s: %w", namespace, execution, err))
		}
	}
}

func filter(stream llmsafespacev1.OutputStream) []string {
	if stream == "" {
		return nil
	}
	return []string{"stream", string(stream)}
}
