// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"context"
	"slices"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/authorization/path"
	"k8s.io/apiserver/pkg/authorization/union"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// The groups that stand for a role.
const (
	// GroupView reads everything but secrets, logs included.
	GroupView = "safebeam:view"
	// GroupEdit speaks in conversations as well, on models that are there.
	GroupEdit = "safebeam:edit"
	// GroupAdmin makes models and channels as well, with any Secret.
	GroupAdmin = "safebeam:admin"
)

// openPaths are for everybody who is somebody: they hold no object.
var openPaths = []string{"/healthz", "/healthz/*", "/livez", "/livez/*", "/readyz", "/readyz/*", "/version", "/version/", "/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"}

// NewAuthorizer returns the authorizer of a server that stands alone.
func NewAuthorizer() (authorizer.Authorizer, error) {
	open, err := path.NewAuthorizer(openPaths)
	if err != nil {
		return nil, err
	}
	return union.New(
		union.NamedAuthorizer{AuthorizerName: "safebeam.dev/masters", Authorizer: authorizerfactory.NewPrivilegedGroups(user.SystemPrivilegedGroup)},
		union.NamedAuthorizer{AuthorizerName: "safebeam.dev/open-paths", Authorizer: open},
		union.NamedAuthorizer{AuthorizerName: "safebeam.dev/roles", Authorizer: authorizer.AuthorizerFunc(byRole)},
	)
}

// byRole allows what the groups of a user stand for and has no opinion on the
// rest. The status is nobody's but the server's own identities.
func byRole(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if a.GetUser() != nil && a.IsResourceRequest() {
		groups := a.GetUser().GetGroups()
		if slices.Contains(groups, GroupAdmin) && (views(a) || edits(a) || administers(a)) ||
			slices.Contains(groups, GroupEdit) && (views(a) || edits(a)) ||
			slices.Contains(groups, GroupView) && views(a) {
			return authorizer.DecisionAllow, "", nil
		}
	}
	return authorizer.DecisionNoOpinion, "", nil
}

func views(a authorizer.Attributes) bool {
	return a.GetAPIGroup() == tightbeamv1.GroupName && a.IsReadOnly()
}

// spoken are the resources that users of the role edit write.
var spoken = []string{"conversations", "turns"}

func edits(a authorizer.Attributes) bool {
	switch {
	case a.GetAPIGroup() != tightbeamv1.GroupName:
		return false
	case a.GetVerb() == "use":
		return a.GetSubresource() == ""
	case a.GetSubresource() == "cancel":
		return a.GetVerb() == "create"
	default:
		return a.GetSubresource() == "" && slices.Contains(spoken, a.GetResource())
	}
}

func administers(a authorizer.Attributes) bool {
	if a.GetAPIGroup() == "" && a.GetResource() == "secrets" {
		return a.GetVerb() == "get" // asked when a model names one
	}
	return a.GetAPIGroup() == tightbeamv1.GroupName && a.GetSubresource() == ""
}
