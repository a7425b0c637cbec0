// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/cli/request"
)

// awaitRunning waits until a sandbox can be used. One that ends instead, is
// deleted or takes longer than patience is an error that says why.
func (r *remote) awaitRunning(ctx context.Context, sandbox *llmsafespacev1.Sandbox, patience time.Duration) (*llmsafespacev1.Sandbox, error) {
	if sandbox.Status.Phase == llmsafespacev1.SandboxRunning {
		return sandbox, nil
	}
	last := sandbox
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	one := cache.NewListWatchFromClient(r.RESTClient(), "sandboxes", r.namespace, fields.OneTermEqualSelector("metadata.name", sandbox.Name))
	_, err := watchtools.UntilWithSync(limited, one, &llmsafespacev1.Sandbox{}, nil, func(event watch.Event) (bool, error) {
		seen, ok := event.Object.(*llmsafespacev1.Sandbox)
		if !ok || seen.UID != sandbox.UID {
			return false, nil
		}
		last = seen
		if event.Type == watch.Deleted {
			return false, fmt.Errorf("sandbox %q was deleted before it ran", sandbox.Name)
		}
		if seen.Status.Phase == llmsafespacev1.SandboxTerminating || seen.Status.Phase.Terminal() {
			return false, fmt.Errorf("sandbox %q did not come to run: %s", sandbox.Name, state(seen))
		}
		return seen.Status.Phase == llmsafespacev1.SandboxRunning, nil
	})
	if err == nil {
		return last, nil
	}
	if ctx.Err() == nil && (errors.Is(err, context.DeadlineExceeded) || limited.Err() != nil) {
		return nil, fmt.Errorf("sandbox %q does not run after %s: %s", sandbox.Name, patience, state(last))
	}
	return nil, err
}

// awaitThere waits for a sandbox that somebody else made, and says so where there
// is something to wait for. One that cannot be read is not waited for: who may
// execute in it need not see it.
func (r *remote) awaitThere(ctx context.Context, name string, patience time.Duration, errOut io.Writer) error {
	sandbox, err := r.Sandboxes(r.namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil
	}
	switch sandbox.Status.Phase {
	case llmsafespacev1.SandboxPending, llmsafespacev1.SandboxCreating:
		fmt.Fprintf(errOut, "[waiting for the sandbox %s, which is %s]\n", name, state(sandbox))
		_, err = r.awaitRunning(ctx, sandbox, patience)
	}
	return err
}

// state is where a sandbox is and why.
func state(s *llmsafespacev1.Sandbox) string {
	text := string(s.Status.Phase)
	reason, message := s.Status.Reason, s.Status.Message
	if reason == "" && message == "" {
		// What it waits for is in a condition.
		for _, name := range []string{llmsafespacev1.SandboxReady, llmsafespacev1.SandboxPodCreated} {
			if c := meta.FindStatusCondition(s.Status.Conditions, name); c != nil && c.Status != "True" && c.Message != "" {
				reason, message = c.Reason, c.Message
			}
		}
	}
	if reason != "" {
		text += ", " + reason
	}
	if message != "" {
		text += ": " + message
	}
	return request.Printable(text)
}
