// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package localsandbox

import (
	"context"

	"k8s.io/apimachinery/pkg/types"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/launcher"
)

// Unavailable stands in for the launcher on a machine that cannot run sandboxes:
// each is refused with the reason.
type Unavailable struct{ Reason error }

var _ launcher.SandboxLauncher = Unavailable{}

// Launch refuses.
func (u Unavailable) Launch(context.Context, launcher.PodSpec) (launcher.Pod, error) {
	return launcher.Pod{}, notSupported(u.Reason.Error())
}

// Open refuses.
func (u Unavailable) Open(context.Context, launcher.Pod, string, *llmsafespacev1.NetworkAccess) error {
	return notSupported(u.Reason.Error())
}

// Delete has nothing to delete.
func (Unavailable) Delete(context.Context, string, string, types.UID) error { return nil }

// Release has nothing to remove.
func (Unavailable) Release(context.Context, launcher.Owner) error { return nil }

// Pod knows none.
func (Unavailable) Pod(string, string) (launcher.Pod, bool) { return launcher.Pod{}, false }

// Pods knows none.
func (Unavailable) Pods() []launcher.Pod { return nil }

// OnChange has nothing to tell.
func (Unavailable) OnChange(func(launcher.Pod)) {}

// Run waits for ctx.
func (Unavailable) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
