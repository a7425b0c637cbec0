// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	etcd3testing "k8s.io/apiserver/pkg/storage/etcd3/testing"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/apiserver/options"
	"safebeam.dev/safebeam/pkg/apiserver/servertest"
	"safebeam.dev/safebeam/pkg/storage"
)

// onEtcd puts a server on an etcd of the test's own.
func onEtcd(t testing.TB) func(*options.Options) {
	_, config := etcd3testing.NewUnsecuredEtcd3TestClientServer(t)
	return func(o *options.Options) {
		o.Storage.Backend = storage.BackendETCD3
		o.Storage.Etcd.StorageConfig.Transport = config.Transport
	}
}

func TestSmoke(t *testing.T) {
	s := servertest.Start(t, servertest.Settings{})
	client := s.Clients().TightbeamV1()
	ctx := t.Context()
	if _, err := client.TightbeamModels("default").Create(ctx, &tightbeamv1.TightbeamModel{ObjectMeta: metav1.ObjectMeta{Name: "echo"}, Spec: tightbeamv1.TightbeamModelSpec{Provider: "echo", Model: "echo"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Conversations("default").Create(ctx, &tightbeamv1.Conversation{ObjectMeta: metav1.ObjectMeta{Name: "c"}, Spec: tightbeamv1.ConversationSpec{Model: "echo"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	text := "hello"
	turn, err := client.Turns("default").Create(ctx, &tightbeamv1.Turn{ObjectMeta: metav1.ObjectMeta{Name: "t"}, Spec: tightbeamv1.TurnSpec{Conversation: "c", Messages: []tightbeamv1.Message{{Role: "user", Content: []tightbeamv1.ContentBlock{{Text: &text}}}}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", turn.Status)
}
