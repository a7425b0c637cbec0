// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	clientset "k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	"safebeam.dev/safebeam/pkg/generated/clientset/versioned/scheme"
)

// events tells what happens as Events of the cluster, until stop is called. Those
// of namespaces that the controller may not write to are logged and lost: nothing
// hangs on them.
func events(ctx context.Context, cluster clientset.Interface) (recorder record.EventRecorder, stop func()) {
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: cluster.CoreV1().Events(corev1.NamespaceAll)})
	return broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "safebeam-controller"}), broadcaster.Shutdown
}
