// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetessandbox

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// pullFailures are the reasons of a container whose image cannot be had.
var pullFailures = map[string]bool{"ErrImagePull": true, "ImagePullBackOff": true, "ErrImageNeverPull": true, "InvalidImageName": true, "ImageInspectError": true}

// Judge says whether pods can be made of an image. Nobody but a node can tell, so
// it is what the last pod of that image has shown; one that was never tried is
// taken to be there.
func (l *Launcher) Judge(image string) (available bool, message string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	message, failed := l.pulls[image]
	return !failed, message
}

// OnImage has changed called with an image of which a pod has shown something
// new. It is added before Run and must not block.
func (l *Launcher) OnImage(changed func(image string)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.images = append(l.images, changed)
}

// learn takes in what a pod shows of its image.
func (l *Launcher) learn(pod *corev1.Pod) {
	status := container(pod)
	if status == nil || len(pod.Spec.Containers) == 0 {
		return
	}
	image := pod.Spec.Containers[0].Image
	l.mu.Lock()
	was, failed := l.pulls[image]
	news := false
	switch waiting := status.State.Waiting; {
	case waiting != nil && pullFailures[waiting.Reason]:
		now := fmt.Sprintf("%s: %s", waiting.Reason, waiting.Message)
		// Kubelets say the same in turn as ErrImagePull and ImagePullBackOff.
		if news = !failed; news || was == "" {
			l.pulls[image] = now
		}
	case status.State.Running != nil && failed:
		delete(l.pulls, image)
		news = true
	}
	handlers := l.images
	l.mu.Unlock()
	if news {
		for _, handler := range handlers {
			handler(image)
		}
	}
}
