// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/apitesting"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apiserver/pkg/apis/example"
	examplev1 "k8s.io/apiserver/pkg/apis/example/v1"
	"k8s.io/apiserver/pkg/storage"

	safebeamstorage "safebeam.dev/safebeam/pkg/storage"
)

const (
	keyPrefix      = "/registry"
	resourcePrefix = "/pods/"
	namespaces     = 64
)

var (
	scheme = runtime.NewScheme()
	// codec is the one that Kubernetes tests its stores with, ourCodec the one
	// that our server uses on either engine.
	codec    = apitesting.TestCodec(serializer.NewCodecFactory(scheme), examplev1.SchemeGroupVersion)
	ourCodec = safebeamstorage.NewCodec(scheme, examplev1.SchemeGroupVersion, runtime.InternalGroupVersioner)
	resource = schema.GroupResource{Resource: "pods"}
)

func init() {
	metav1.AddToGroupVersion(scheme, metav1.SchemeGroupVersion)
	utilruntime.Must(example.AddToScheme(scheme))
	utilruntime.Must(examplev1.AddToScheme(scheme))
}

func newPod() runtime.Object     { return &example.Pod{} }
func newPodList() runtime.Object { return &example.PodList{} }

// serial numbers all objects of this process.
var serial atomic.Int64

// annotationSent carries when the create of an object began.
const annotationSent = "storebench/sent"

// object makes a pod of 1.1 KB of JSON in one of a few namespaces, as objects
// of different conversations would come.
func object(group string) (key string, pod *example.Pod) {
	n := serial.Add(1)
	name := fmt.Sprintf("%s-%08d-%06x", group, n, rand.Uint32()&0xffffff)
	namespace := fmt.Sprintf("namespace-%02d", n%namespaces)
	pod = &example.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: namespace,
			UID:               types.UID(fmt.Sprintf("%08x-0000-4000-8000-%012x", rand.Uint32(), n)),
			CreationTimestamp: metav1.NewTime(time.Now().Truncate(time.Second)),
			Labels:            map[string]string{"app": group, "tier": "bench", "shard": fmt.Sprint(n % 16)},
			Annotations:       map[string]string{annotationSent: fmt.Sprint(time.Now().UnixNano()), "filler": filler},
		},
		Spec: example.PodSpec{ServiceAccountName: "default", NodeName: fmt.Sprintf("node-%03d", n%100), RestartPolicy: "Always", NodeSelector: map[string]string{"disk": "local"}},
		Status: example.PodStatus{Phase: "Running", PodIP: fmt.Sprintf("10.0.%d.%d", n%250, n%200), HostIP: "192.168.0.1",
			Message: "the object is as large as those of the project"},
	}
	return resourcePrefix + namespace + "/" + name, pod
}

// filler brings objects to 1.1 KB of JSON.
var filler = strings.Repeat("0123456789abcdef", 32)

func podAttrs(o runtime.Object) (labels.Set, fields.Set, error) {
	pod := o.(*example.Pod)
	return pod.Labels, fields.Set{"metadata.name": pod.Name, "metadata.namespace": pod.Namespace}, nil
}

func podKey(o runtime.Object) (string, error) { return storage.NamespaceKeyFunc(resourcePrefix, o) }
