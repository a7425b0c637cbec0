// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetessandbox

import (
	"net/netip"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// reaches reports whether the policies let a connection out.
func reaches(policy *networkingv1.NetworkPolicy, address string, port int32) bool {
	if policy == nil {
		return false
	}
	ip := netip.MustParseAddr(address)
	for _, rule := range policy.Spec.Egress {
		portOpen := false
		for _, p := range rule.Ports {
			portOpen = portOpen || p.Port.IntVal == port
		}
		for _, peer := range rule.To {
			if peer.IPBlock == nil || !netip.MustParsePrefix(peer.IPBlock.CIDR).Contains(ip) {
				continue
			}
			open := portOpen
			for _, except := range peer.IPBlock.Except {
				open = open && !netip.MustParsePrefix(except).Contains(ip)
			}
			if open {
				return true
			}
		}
	}
	return false
}

func TestEgressOpensWhatWasNamedAndNothingOfTheCluster(t *testing.T) {
	t.Parallel()
	o := &Options{ClusterCIDRs: []string{"203.0.113.0/24"}}
	rule := func(cidr string, ports ...int32) llmsafespacev1.NetworkRule {
		r := llmsafespacev1.NetworkRule{CIDR: cidr}
		for _, p := range ports {
			r.Ports = append(r.Ports, llmsafespacev1.NetworkPort{Port: p})
		}
		return r
	}
	for _, tc := range []struct {
		name    string
		rule    llmsafespacev1.NetworkRule
		address string
		port    int32
		open    bool
	}{
		{"what was named", rule("192.0.2.0/24", 5432), "192.0.2.9", 5432, true},
		{"another port of it", rule("192.0.2.0/24", 5432), "192.0.2.9", 443, false},
		{"443 where no port is named", rule("192.0.2.0/24"), "192.0.2.9", 443, true},
		{"another address", rule("192.0.2.0/24"), "198.51.100.1", 443, false},
		{"a private range that was named", rule("10.20.0.0/16", 443), "10.20.3.4", 443, true},
		{"the internet", rule("0.0.0.0/0"), "8.8.8.8", 443, true},
		{"a private address by the internet's rule", rule("0.0.0.0/0"), "10.96.0.1", 443, false},
		{"a range of the cluster by the internet's rule", rule("0.0.0.0/0"), "203.0.113.9", 443, false},
		{"the metadata service by the internet's rule", rule("0.0.0.0/0", 80), "169.254.169.254", 80, false},
		{"the metadata service by half of everything", rule("128.0.0.0/1", 80), "169.254.169.254", 80, false},
		{"the metadata service by its name", rule("169.254.169.254/32", 80), "169.254.169.254", 80, false},
		{"the metadata service of IPv6", rule("fd00:ec2::254/128", 80), "fd00:ec2::254", 80, false},
		{"loopback", rule("127.0.0.0/8", 80), "127.0.0.1", 80, false},
		{"a private range inside a named wider one", rule("172.0.0.0/8"), "172.20.0.1", 443, false},
		{"IPv6", rule("2001:db8::/32"), "2001:db8::1", 443, true},
		{"a prefix with host bits", rule("192.0.2.77/24"), "192.0.2.9", 443, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			policy := o.opening("ns", "pod", "uid", "ns", &llmsafespacev1.NetworkAccess{Egress: []llmsafespacev1.NetworkRule{tc.rule}})
			if got := reaches(policy, tc.address, tc.port); got != tc.open {
				t.Errorf("reaches %s:%d: %v", tc.address, tc.port, got)
			}
		})
	}
}

func TestNothingIsOpenedWithoutBeingAsked(t *testing.T) {
	t.Parallel()
	o := &Options{GatewayNamespace: "safebeam-system", GatewayLabels: map[string]string{"app": "gateway"}}
	for _, access := range []*llmsafespacev1.NetworkAccess{nil, {}} {
		if policy := o.opening("ns", "pod", "uid", "ns", access); policy != nil {
			t.Errorf("%+v", policy.Spec)
		}
	}
	closing := o.closing("ns", 7445).Spec
	if len(closing.PolicyTypes) != 2 || len(closing.Ingress) != 0 || len(closing.Egress) != 1 || len(closing.Egress[0].Ports) != 1 || closing.Egress[0].Ports[0].Port.IntVal != 7445 {
		t.Errorf("%+v", closing)
	}
	if len(closing.PodSelector.MatchLabels) != 1 || closing.PodSelector.MatchLabels[LabelType] != TypeSandbox {
		t.Errorf("it selects %+v", closing.PodSelector)
	}
}

func TestIngressIsFromTheSandboxsNamespaceToThatPodAlone(t *testing.T) {
	t.Parallel()
	policy := (&Options{}).opening("warm-pools", "pod", "uid", "agents", &llmsafespacev1.NetworkAccess{Ingress: true})
	if len(policy.Spec.PolicyTypes) != 1 || policy.Spec.PolicyTypes[0] != networkingv1.PolicyTypeIngress {
		t.Errorf("types are %v: egress stays as it is", policy.Spec.PolicyTypes)
	}
	from := policy.Spec.Ingress[0].From[0]
	if from.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"] != "agents" || policy.Spec.PodSelector.MatchLabels[LabelPod] != "pod" {
		t.Errorf("%+v", policy.Spec)
	}
}
