// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"net/url"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// API is the API server as one of its users sees it. Errors are API statuses.
type API interface {
	CreateTurn(ctx context.Context, as user.Info, turn *tightbeamv1.Turn) (*tightbeamv1.Turn, error)
	GetTurn(ctx context.Context, as user.Info, namespace, name string) (*tightbeamv1.Turn, error)
	GetConversation(ctx context.Context, as user.Info, namespace, name string) (*tightbeamv1.Conversation, error)
	CreateConversation(ctx context.Context, as user.Info, conversation *tightbeamv1.Conversation) (*tightbeamv1.Conversation, error)
	ListModels(ctx context.Context, as user.Info, namespace string) (*tightbeamv1.TightbeamModelList, error)
	// GetChannel and ListChannels tell whether the user may.
	GetChannel(ctx context.Context, as user.Info, namespace, name string) error
	ListChannels(ctx context.Context, as user.Info, namespace string) error
}

// impersonating is the API over a client that may act as anybody: the server's
// own loopback client.
type impersonating struct{ client rest.Interface }

// NewAPI returns the API over a client of tightbeam.dev/v1 that may impersonate.
func NewAPI(client rest.Interface) API { return impersonating{client} }

func (a impersonating) CreateTurn(ctx context.Context, as user.Info, turn *tightbeamv1.Turn) (*tightbeamv1.Turn, error) {
	out := &tightbeamv1.Turn{}
	return out, a.post(ctx, as, turn.Namespace, "turns", turn, out)
}

func (a impersonating) GetTurn(ctx context.Context, as user.Info, namespace, name string) (*tightbeamv1.Turn, error) {
	out := &tightbeamv1.Turn{}
	return out, impersonate(a.client.Get(), as).Namespace(namespace).Resource("turns").Name(name).Do(ctx).Into(out)
}

func (a impersonating) GetConversation(ctx context.Context, as user.Info, namespace, name string) (*tightbeamv1.Conversation, error) {
	out := &tightbeamv1.Conversation{}
	return out, impersonate(a.client.Get(), as).Namespace(namespace).Resource("conversations").Name(name).Do(ctx).Into(out)
}

func (a impersonating) CreateConversation(ctx context.Context, as user.Info, conversation *tightbeamv1.Conversation) (*tightbeamv1.Conversation, error) {
	out := &tightbeamv1.Conversation{}
	return out, a.post(ctx, as, conversation.Namespace, "conversations", conversation, out)
}

func (a impersonating) ListModels(ctx context.Context, as user.Info, namespace string) (*tightbeamv1.TightbeamModelList, error) {
	out := &tightbeamv1.TightbeamModelList{}
	return out, impersonate(a.client.Get(), as).Namespace(namespace).Resource("tightbeammodels").Do(ctx).Into(out)
}

func (a impersonating) GetChannel(ctx context.Context, as user.Info, namespace, name string) error {
	return impersonate(a.client.Get(), as).Namespace(namespace).Resource("tightbeamchannels").Name(name).Do(ctx).Error()
}

func (a impersonating) ListChannels(ctx context.Context, as user.Info, namespace string) error {
	return impersonate(a.client.Get(), as).Namespace(namespace).Resource("tightbeamchannels").
		VersionedParams(&metav1.ListOptions{Limit: 1}, metav1.ParameterCodec).Do(ctx).Error()
}

func (a impersonating) post(ctx context.Context, as user.Info, namespace, resource string, in runtime.Object, out runtime.Object) error {
	return impersonate(a.client.Post(), as).Namespace(namespace).Resource(resource).
		VersionedParams(&metav1.CreateOptions{FieldManager: "safebeam-gateway"}, metav1.ParameterCodec).
		Body(in).Do(ctx).Into(out)
}

// impersonate has the request made as the user, with all that authorization,
// admission and audit may look at.
func impersonate(request *rest.Request, as user.Info) *rest.Request {
	request = request.SetHeader(transport.ImpersonateUserHeader, as.GetName())
	if uid := as.GetUID(); uid != "" {
		request = request.SetHeader(transport.ImpersonateUIDHeader, uid)
	}
	if groups := as.GetGroups(); len(groups) > 0 {
		request = request.SetHeader(transport.ImpersonateGroupHeader, groups...)
	}
	for key, values := range as.GetExtra() {
		request = request.SetHeader(transport.ImpersonateUserExtraHeaderPrefix+url.PathEscape(key), slices.Clone(values)...)
	}
	return request
}
