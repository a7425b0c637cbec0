// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package access asks whether the user behind a request may do what the
// request's object implies: whoever names a Secret uses it, whoever speaks in
// a conversation reads it, whoever names a model spends on it.
//
// The question goes to the server's own authorizer with the user of the
// request, so that it is a SubjectAccessReview behind a kube-apiserver and a
// function call standalone. A request without a user is refused.
package access

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// VerbUse is the verb that lets a user speak in a conversation, run turns on
// a model, or fork a conversation.
const VerbUse = "use"

// Wish is one thing that an object implies.
type Wish struct {
	// Field of the object that implies it.
	Field *field.Path
	Verb  string
	// Resource with its API version; the version is "*" if none is meant.
	Resource schema.GroupVersionResource
	// Subresource may be empty.
	Subresource string
	Namespace   string
	// Name may be empty: what is created has none yet.
	Name string
}

// Use is the wish to use an object of ours.
func Use(path *field.Path, resource schema.GroupVersionResource, namespace, name string) Wish {
	return Wish{Field: path, Verb: VerbUse, Resource: resource, Namespace: namespace, Name: name}
}

// GetSecret is the wish to get a Secret.
func GetSecret(path *field.Path, namespace, name string) Wish {
	return Wish{Field: path, Verb: "get", Resource: schema.GroupVersionResource{Version: "v1", Resource: "secrets"}, Namespace: namespace, Name: name}
}

// maxAtOnce bounds the questions of one request that are asked at one time.
const maxAtOnce = 8

// Require answers nil if the user of ctx may have every wish, and else a 403
// on the object of the given resource and name, which says what the first is that
// is missing. Each wish may be a request to the kube-apiserver, so all are asked
// at the same time.
func Require(ctx context.Context, by authorizer.UnconditionalAuthorizer, resource schema.GroupResource, name string, wishes ...Wish) error {
	user, ok := request.UserFrom(ctx)
	if !ok {
		return apierrors.NewInternalError(errors.New("the request has no user"))
	}
	if len(wishes) == 1 {
		return ask(ctx, by, user, resource, name, wishes[0])
	}
	answers := make([]error, len(wishes))
	var asked errgroup.Group
	asked.SetLimit(maxAtOnce)
	for i, wish := range wishes {
		asked.Go(func() error {
			answers[i] = ask(ctx, by, user, resource, name, wish)
			return nil
		})
	}
	_ = asked.Wait() // the answers are what it says
	for _, err := range answers {
		if err != nil {
			return err
		}
	}
	return nil
}

func ask(ctx context.Context, by authorizer.UnconditionalAuthorizer, user user.Info, resource schema.GroupResource, name string, wish Wish) error {
	decision, reason, err := by.Authorize(ctx, authorizer.AttributesRecord{
		User:            user,
		Verb:            wish.Verb,
		Namespace:       wish.Namespace,
		APIGroup:        wish.Resource.Group,
		APIVersion:      wish.Resource.Version,
		Resource:        wish.Resource.Resource,
		Subresource:     wish.Subresource,
		Name:            wish.Name,
		ResourceRequest: true,
	})
	if decision == authorizer.DecisionAllow {
		return nil
	}
	if err != nil {
		return apierrors.NewInternalError(fmt.Errorf("authorizing %s on %s %q for %s: %w", wish.Verb, wish.Resource.GroupResource(), wish.Name, wish.Field, err))
	}
	what := wish.Resource.GroupResource().String()
	if wish.Name != "" {
		what += fmt.Sprintf(" %q", wish.Name)
	}
	message := fmt.Sprintf("%s: user %q needs the verb %q on %s in namespace %q", wish.Field, user.GetName(), wish.Verb, what, wish.Namespace)
	if reason != "" {
		message += ": " + reason
	}
	return apierrors.NewForbidden(resource, name, errors.New(message))
}
