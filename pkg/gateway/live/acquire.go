// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/sandboxes"
)

// retryAfterSeconds is what a caller is told to wait for a sandbox that is away.
const retryAfterSeconds = 2

// Acquire returns the connected sandbox of that object's UID, counted as active
// until the func is called. Errors are API statuses: 409 with the phase if it is
// not Running, 503 if it is not connected, also after a short wait.
func (l *Live) Acquire(ctx context.Context, object *v1.Sandbox) (*sandboxes.Sandbox, func(), error) {
	connection, done, err := l.Hold(object)
	if err != nil {
		return nil, nil, err
	}
	if connection.Connected() {
		return connection, done, nil
	}
	waiting, cancel := context.WithTimeout(ctx, l.AcquireWait)
	defer cancel()
	if err := connection.Wait(waiting); err != nil {
		done()
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		return nil, nil, unavailable(object, "its agent is not connected")
	}
	return connection, done, nil
}

// Hold is Acquire without waiting for the connection, for those whose calls wait
// themselves.
func (l *Live) Hold(object *v1.Sandbox) (*sandboxes.Sandbox, func(), error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sandboxes[object.UID]
	if s == nil {
		return nil, nil, apierrors.NewNotFound(v1.Resource("sandboxes"), object.Name)
	}
	// Who asks may have read what is not observed here yet: a write is observed
	// when it has returned, and can be read as soon as it is stored.
	newest := s.object
	if order, err := resourceversion.CompareResourceVersion(object.ResourceVersion, newest.ResourceVersion); err == nil && order > 0 {
		newest = object
	}
	if err := usable(newest); err != nil {
		return nil, nil, err
	}
	binding, ok := l.Bindings.ByOwner(object.UID)
	if !ok || l.connections == nil {
		return nil, nil, unavailable(s.object, "nobody knows its pod")
	}
	s.pod = binding.PodUID // forgotten with the sandbox, whether it ever connects or not
	return l.connections.Sandbox(binding.PodUID), l.use(s), nil
}

// PodUID is the pod of a sandbox.
func (l *Live) PodUID(uid types.UID) (types.UID, bool) {
	binding, ok := l.Bindings.ByOwner(uid)
	return binding.PodUID, ok
}

// usable is a 409 that says why the sandbox cannot be used, unless it can.
func usable(object *v1.Sandbox) error {
	status := &object.Status
	why := ""
	switch {
	case object.DeletionTimestamp != nil:
		why = "is being deleted"
	case status.Phase == v1.SandboxRunning:
		return nil
	case status.Phase == "" || status.Phase == v1.SandboxPending || status.Phase == v1.SandboxCreating:
		why = fmt.Sprintf("is %s, not running yet", status.Phase)
		for _, c := range status.Conditions {
			if c.Status == metav1.ConditionFalse && c.Type != v1.SandboxWarmPodBound && c.Message != "" && !strings.Contains(why, c.Message) {
				why += ": " + c.Message
			}
		}
	case status.Phase == v1.SandboxTerminating:
		why = "is being ended" + because(status)
	default:
		why = fmt.Sprintf("is over: %s", status.Phase) + because(status)
	}
	return apierrors.NewConflict(v1.Resource("sandboxes"), object.Name, fmt.Errorf("the sandbox %s", why))
}

func because(status *v1.SandboxStatus) string {
	switch {
	case status.Reason == "":
		return ""
	case status.Message == "":
		return " (" + status.Reason + ")"
	}
	return " (" + status.Reason + ": " + status.Message + ")"
}

func unavailable(object *v1.Sandbox, why string) error {
	err := apierrors.NewServiceUnavailable(fmt.Sprintf("sandbox %q cannot be reached now: %s", object.Name, why))
	err.ErrStatus.Details = &metav1.StatusDetails{
		Group: v1.GroupName, Kind: "sandboxes", Name: object.Name, UID: object.UID, RetryAfterSeconds: retryAfterSeconds,
	}
	return err
}
