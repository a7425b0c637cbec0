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

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
)

// The groups that stand for a role.
const (
	// GroupView reads everything but secrets, logs included.
	GroupView = "safebeam:view"
	// GroupEdit speaks in conversations as well, on models that are there, and
	// has sandboxes.
	GroupEdit = "safebeam:edit"
	// GroupAdmin makes models and channels as well, with any Secret, and profiles
	// and warm pools.
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

// rule allows verbs on resources of a group, subresources among them.
type rule struct {
	group     string
	resources []string
	verbs     []string
}

var (
	read   = []string{"get", "list", "watch"}
	change = []string{"create", "update", "patch", "delete", "deletecollection"}
)

// The rules of the ClusterRoles of artifacts/deploy/rbac/users.yaml. The status
// is nobody's but the server's own identities.
var (
	everybody = []rule{
		{llmsafespacev1.GroupName, []string{"runtimeenvironments"}, read},
	}
	view = []rule{
		{tightbeamv1.GroupName, []string{
			"tightbeammodels", "tightbeammodels/status", "tightbeamchannels", "tightbeamchannels/status",
			"conversations", "conversations/status", "conversations/log", "turns", "turns/status", "turns/log", "turns/stream",
		}, read},
		{llmsafespacev1.GroupName, []string{
			"sandboxprofiles", "sandboxes", "sandboxes/status", "executions", "executions/status", "executions/log",
			"warmpools", "warmpools/status", "warmpools/scale", "warmpods", "warmpods/status",
		}, read},
	}
	edit = []rule{
		{tightbeamv1.GroupName, []string{"conversations", "turns"}, change},
		{tightbeamv1.GroupName, []string{"turns/cancel"}, []string{"create"}},
		{tightbeamv1.GroupName, []string{"conversations", "tightbeammodels"}, []string{"use"}},
		{llmsafespacev1.GroupName, []string{"sandboxes", "executions"}, change},
		{llmsafespacev1.GroupName, []string{"executions/cancel"}, []string{"create"}},
		{llmsafespacev1.GroupName, []string{"sandboxes/exec"}, []string{"get", "create"}},
		{llmsafespacev1.GroupName, []string{"sandboxes/files"}, []string{"get", "create", "update", "delete"}},
		{llmsafespacev1.GroupName, []string{"sandboxprofiles"}, []string{"use"}},
	}
	admin = []rule{
		{tightbeamv1.GroupName, []string{"tightbeammodels", "tightbeamchannels"}, change},
		{llmsafespacev1.GroupName, []string{"sandboxprofiles", "warmpools", "warmpods"}, change},
		{llmsafespacev1.GroupName, []string{"warmpools/scale"}, []string{"update", "patch"}},
		{"", []string{"secrets"}, []string{"get"}}, // asked when a model names one
	}
)

// roles are what the groups stand for.
var roles = map[string][]rule{
	user.AllAuthenticated: everybody,
	GroupView:             view,
	GroupEdit:             slices.Concat(view, edit),
	GroupAdmin:            slices.Concat(view, edit, admin),
}

// byRole allows what the groups of a user stand for and has no opinion on the
// rest.
func byRole(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if a.GetUser() == nil || !a.IsResourceRequest() {
		return authorizer.DecisionNoOpinion, "", nil
	}
	resource := a.GetResource()
	if a.GetSubresource() != "" {
		resource += "/" + a.GetSubresource()
	}
	for _, group := range a.GetUser().GetGroups() {
		for _, rule := range roles[group] {
			if rule.group == a.GetAPIGroup() && slices.Contains(rule.resources, resource) && slices.Contains(rule.verbs, a.GetVerb()) {
				return authorizer.DecisionAllow, "", nil
			}
		}
	}
	return authorizer.DecisionNoOpinion, "", nil
}
