// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
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
			if role.Name == "safebeam-sandboxes" && slices.Equal(rule.Resources, []string{"pods"}) {
				continue // see TestPodsOfTheControllerAreHeldByAPolicy
			}
			if len(reads) > 0 && hits(rule, writes) {
				t.Errorf("role %s: %v", role.Name, rule)
			}
			if slices.Contains(rule.Verbs, "*") || slices.Contains(rule.Verbs, "escalate") || slices.Contains(rule.Verbs, "bind") || slices.Contains(rule.Verbs, "impersonate") {
				t.Errorf("role %s: verbs %v", role.Name, rule.Verbs)
			}
		}
	}
}

// The one role that makes pods is for sandboxes, and whoever makes pods reads
// Secrets, unless something holds them: a policy on the controller that has no
// way around it.
func TestPodsOfTheControllerAreHeldByAPolicy(t *testing.T) {
	t.Parallel()
	policies := map[string]admissionv1.ValidatingAdmissionPolicy{}
	denied := map[string]bool{}
	eachShipped(t, func(kind string, data []byte) error {
		switch kind {
		case "ValidatingAdmissionPolicy":
			var policy admissionv1.ValidatingAdmissionPolicy
			err := yaml.Unmarshal(data, &policy)
			policies[policy.Name] = policy
			return err
		case "ValidatingAdmissionPolicyBinding":
			var binding admissionv1.ValidatingAdmissionPolicyBinding
			err := yaml.Unmarshal(data, &binding)
			if slices.Equal(binding.Spec.ValidationActions, []admissionv1.ValidationAction{admissionv1.Deny}) && binding.Spec.MatchResources == nil {
				denied[binding.Spec.PolicyName] = true
			}
			return err
		}
		return nil
	})
	for name, policy := range policies {
		spec := policy.Spec
		if !denied[name] || spec.FailurePolicy == nil || *spec.FailurePolicy != admissionv1.Fail {
			t.Errorf("policy %s does not deny", name)
		}
		if len(spec.MatchConditions) != 1 || spec.MatchConditions[0].Expression != `request.userInfo.username == "`+controller+`"` {
			t.Errorf("policy %s is on others than the controller: %+v", name, spec.MatchConditions)
		}
	}
	for _, resource := range []string{"pods", "jobs", "pods/ephemeralcontainers", "deployments", "networkpolicies", "persistentvolumeclaims"} {
		if !slices.ContainsFunc(slices.Collect(maps.Values(policies)), func(policy admissionv1.ValidatingAdmissionPolicy) bool {
			return slices.ContainsFunc(policy.Spec.MatchConstraints.ResourceRules, func(rule admissionv1.NamedRuleWithOperations) bool {
				return slices.Contains(rule.Resources, resource) && slices.Contains(rule.Operations, admissionv1.Create) && slices.Contains(rule.Operations, admissionv1.Update)
			})
		}) {
			t.Errorf("no policy holds the controller's %s", resource)
		}
	}
}

// shipped are the roles of artifacts/deploy.
func shipped(t *testing.T) (roles []rbacv1.ClusterRole) {
	t.Helper()
	eachShipped(t, func(kind string, data []byte) error {
		if kind != "ClusterRole" && kind != "Role" {
			return nil
		}
		var role rbacv1.ClusterRole
		err := yaml.Unmarshal(data, &role)
		roles = append(roles, role)
		return err
	})
	return roles
}

// eachShipped reads the objects of artifacts/deploy.
func eachShipped(t *testing.T, object func(kind string, data []byte) error) {
	t.Helper()
	err := filepath.WalkDir("../../artifacts/deploy", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
		for {
			document, err := documents.Read()
			if errors.Is(err, io.EOF) {
				return nil
			}
			var meta metav1.TypeMeta
			if err == nil {
				err = yaml.Unmarshal(document, &meta)
			}
			if err == nil {
				err = object(meta.Kind, document)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
