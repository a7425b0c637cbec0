// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

func TestTokensSayWhoSomebodyIs(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte("t1,ann,1,\"safebeam:edit,team\"\nt2,bob,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := Sources{AdminToken: "secret", TokenFile: file}.Tokens()
	if err != nil {
		t.Fatal(err)
	}
	authenticator := NewAuthenticator(tokens, nil)
	for token, want := range map[string]string{
		"secret": "safebeam-admin system:authenticated system:masters",
		"t1":     "ann safebeam:edit system:authenticated team",
		"t2":     "bob system:authenticated",
		"t3":     "", "": "", "secre": "", "secretx": "",
	} {
		request, err := http.NewRequest(http.MethodGet, "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		got := ""
		if response, ok, _ := authenticator.AuthenticateRequest(request); ok {
			groups := slices.Clone(response.User.GetGroups())
			slices.Sort(groups)
			got = strings.Join(append([]string{response.User.GetName()}, groups...), " ")
		}
		if got != want {
			t.Errorf("token %q: got %q, want %q", token, got, want)
		}
	}
}

func TestWithoutAnAdminTokenAnEmptyTokenIsNobody(t *testing.T) {
	t.Parallel()
	tokens, err := Sources{}.Tokens()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := tokens.AuthenticateToken(t.Context(), ""); ok {
		t.Error("an empty token is somebody")
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	by, err := NewAuthorizer()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		verb, group, resource string
		allowed               string // of v, e, a, m: view, edit, admin, masters; n: nobody
	}{
		{"get", "tightbeam.dev", "turns", "veam"},
		{"watch", "tightbeam.dev", "conversations", "veam"},
		{"get", "tightbeam.dev", "turns/log", "veam"},
		{"get", "tightbeam.dev", "turns/status", "veam"},
		{"create", "tightbeam.dev", "turns", "eam"},
		{"delete", "tightbeam.dev", "conversations", "eam"},
		{"create", "tightbeam.dev", "turns/cancel", "eam"},
		{"use", "tightbeam.dev", "conversations", "eam"},
		{"use", "tightbeam.dev", "tightbeammodels", "eam"},
		{"create", "tightbeam.dev", "tightbeammodels", "am"},
		{"patch", "tightbeam.dev", "tightbeamchannels", "am"},
		{"get", "", "secrets", "am"},
		{"list", "", "secrets", "m"},
		{"create", "", "secrets", "m"},
		{"update", "tightbeam.dev", "turns/status", "m"},
		{"patch", "tightbeam.dev", "conversations/status", "m"},
		{"get", "elsewhere.dev", "things", "m"},
	} {
		for letter, group := range map[string]string{"v": GroupView, "e": GroupEdit, "a": GroupAdmin, "m": user.SystemPrivilegedGroup, "n": "strangers"} {
			resource, subresource, _ := strings.Cut(test.resource, "/")
			decision, _, err := by.Authorize(t.Context(), authorizer.AttributesRecord{
				User: &user.DefaultInfo{Name: "ann", Groups: []string{group}}, Verb: test.verb, APIGroup: test.group,
				Resource: resource, Subresource: subresource, ResourceRequest: true, Name: "x",
			})
			if err != nil || (decision == authorizer.DecisionAllow) != strings.Contains(test.allowed, letter) {
				t.Errorf("%s may %s %s: %v, %v", group, test.verb, test.resource, decision, err)
			}
		}
	}
	for path, open := range map[string]bool{"/readyz": true, "/apis": true, "/openapi/v3/apis/tightbeam.dev/v1": true, "/version": true, "/snapshot": false, "/metrics": false, "/debug/pprof/heap": false} {
		decision, _, _ := by.Authorize(t.Context(), authorizer.AttributesRecord{User: &user.DefaultInfo{Name: "ann"}, Verb: "get", Path: path})
		if (decision == authorizer.DecisionAllow) != open {
			t.Errorf("%s: %v", path, decision)
		}
	}
}

// What the groups of a server that stands alone may do is what the ClusterRoles
// of the same names allow on a cluster.
func TestGroupsMayDoWhatTheClusterRolesAllow(t *testing.T) {
	t.Parallel()
	by, err := NewAuthorizer()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open("../../../artifacts/deploy/rbac/users.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	clusterRoles := map[string]rbacv1.ClusterRole{}
	for documents := yaml.NewYAMLReader(bufio.NewReader(file)); ; {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		var role rbacv1.ClusterRole
		if err == nil {
			err = yaml.Unmarshal(document, &role)
		}
		if err != nil {
			t.Fatal(err)
		}
		if role.Kind == "ClusterRole" {
			clusterRoles[role.Name] = role
		}
	}
	// may is what the aggregated role allows.
	may := func(aggregate, group, resource, verb string) bool {
		for _, role := range clusterRoles {
			if role.Name != "safebeam-runtimes" && role.Labels["rbac.authorization.k8s.io/aggregate-to-"+aggregate] != "true" {
				continue
			}
			for _, rule := range role.Rules {
				if slices.Contains(rule.APIGroups, group) && slices.Contains(rule.Resources, resource) && slices.Contains(rule.Verbs, verb) {
					return true
				}
			}
		}
		return false
	}
	// Also what no role names.
	resources := map[string][]string{
		"tightbeam.dev":    {"tightbeammodels/pods", "tightbeammodels/finalizers", "turns/finalizers"},
		"llmsafespace.dev": {"sandboxes/pods", "warmpods/pods", "sandboxes/finalizers", "runtimeenvironments/status"},
	}
	for _, role := range clusterRoles {
		for _, rule := range role.Rules {
			for _, group := range rule.APIGroups {
				resources[group] = append(resources[group], rule.Resources...)
			}
		}
	}
	if len(clusterRoles) < 4 || len(resources) != 2 {
		t.Fatalf("read %d roles for %d groups", len(clusterRoles), len(resources))
	}
	for group, resources := range resources {
		for _, resource := range resources {
			for _, verb := range []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "use", "impersonate", "*"} {
				for aggregate, member := range map[string]string{"view": GroupView, "edit": GroupEdit, "admin": GroupAdmin, "nobody": "strangers"} {
					name, subresource, _ := strings.Cut(resource, "/")
					decision, _, err := by.Authorize(t.Context(), authorizer.AttributesRecord{
						User: &user.DefaultInfo{Name: "ann", Groups: []string{member, user.AllAuthenticated}}, Verb: verb, APIGroup: group,
						Resource: name, Subresource: subresource, ResourceRequest: true, Namespace: "ns", Name: "x",
					})
					if want := may(aggregate, group, resource, verb); err != nil || (decision == authorizer.DecisionAllow) != want {
						t.Errorf("%s may %s %s.%s: %v, %v; the ClusterRole says %v", member, verb, resource, group, decision, err, want)
					}
				}
			}
		}
	}
}
