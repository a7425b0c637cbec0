// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
)

// No role that we ship reads Secrets, or could: not by a wildcard, not by
// making pods, roles or tokens.
func TestNoRoleWeShipReachesSecrets(t *testing.T) {
	t.Parallel()
	type grant struct{ groups, resources []string }
	forbidden := []grant{
		{[]string{"", "*"}, []string{"secrets", "serviceaccounts/token", "pods/exec", "pods/attach", "*"}},
		{[]string{rbacv1.GroupName, "*"}, []string{"*"}},
	}
	writes := []grant{
		{[]string{""}, []string{"pods", "replicationcontrollers", "serviceaccounts"}},
		{[]string{"apps"}, []string{"*", "deployments", "daemonsets", "statefulsets", "replicasets"}},
		{[]string{"batch"}, []string{"*", "cronjobs"}},
		{[]string{rbacv1.GroupName}, []string{"roles", "clusterroles", "rolebindings", "clusterrolebindings"}},
	}
	hits := func(rule rbacv1.PolicyRule, grants []grant) bool {
		return slices.ContainsFunc(grants, func(g grant) bool {
			return slices.ContainsFunc(g.groups, func(x string) bool { return slices.Contains(rule.APIGroups, x) }) &&
				slices.ContainsFunc(g.resources, func(x string) bool { return slices.Contains(rule.Resources, x) })
		})
	}
	roles := shipped(t)
	if len(roles) < 6 {
		t.Fatalf("found %d roles only", len(roles))
	}
	for _, role := range roles {
		for _, rule := range role.Rules {
			if hits(rule, forbidden) {
				t.Errorf("role %s: %v", role.Name, rule)
			}
			reads := slices.DeleteFunc(slices.Clone(rule.Verbs), func(v string) bool { return v == "get" || v == "list" || v == "watch" })
			if len(reads) > 0 && hits(rule, writes) {
				t.Errorf("role %s: %v", role.Name, rule)
			}
			if slices.Contains(rule.Verbs, "*") || slices.Contains(rule.Verbs, "escalate") || slices.Contains(rule.Verbs, "bind") || slices.Contains(rule.Verbs, "impersonate") {
				t.Errorf("role %s: verbs %v", role.Name, rule.Verbs)
			}
		}
	}
}

// shipped are the roles of artifacts/deploy.
func shipped(t *testing.T) []rbacv1.ClusterRole {
	t.Helper()
	var roles []rbacv1.ClusterRole
	err := filepath.WalkDir("../../artifacts/deploy", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
		for {
			var object struct {
				metav1.TypeMeta `json:",inline"`
				rbacv1.ClusterRole
			}
			err := decoder.Decode(&object)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if object.TypeMeta.Kind == "ClusterRole" || object.TypeMeta.Kind == "Role" {
				roles = append(roles, object.ClusterRole)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return roles
}
