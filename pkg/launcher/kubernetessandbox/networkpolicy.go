// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetessandbox

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// PolicyName is the NetworkPolicy that closes all sandbox pods of a namespace.
const PolicyName = "llmsafespace-sandboxes"

// notInternet are ranges that a wider egress rule does not open: private, shared,
// link-local (the metadata services of clouds among them), loopback and reserved
// ones, and those that are translated to IPv4. Who means one of them names it.
var notInternet = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
	"::/128", "::1/128", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "fc00::/7", "fe80::/10", "ff00::/8",
)

// never are opened by nobody: a node's metadata service speaks for the node.
var never = prefixes("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "127.0.0.0/8", "::1/128")

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// closing is the policy of a namespace: nothing in, and out the gateway alone.
func (o *Options) closing(namespace string, port int32) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: PolicyName, Namespace: namespace, Labels: map[string]string{LabelType: TypeSandbox}},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{LabelType: TypeSandbox}},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
			Egress: []networkingv1.NetworkPolicyEgressRule{{
				To: []networkingv1.NetworkPolicyPeer{{
					NamespaceSelector: inNamespace(o.GatewayNamespace),
					PodSelector:       &metav1.LabelSelector{MatchLabels: o.GatewayLabels},
				}},
				Ports: []networkingv1.NetworkPolicyPort{policyPort(corev1.ProtocolTCP, port)},
			}},
		},
	}
}

// opening is the policy of one pod; nil if it opens nothing. from is the
// namespace whose pods may come in.
func (o *Options) opening(namespace, pod string, uid types.UID, from string, access *llmsafespacev1.NetworkAccess) *networkingv1.NetworkPolicy {
	if access == nil || len(access.Egress) == 0 && !access.Ingress {
		return nil
	}
	policy := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{
			Name: pod, Namespace: namespace, Labels: map[string]string{LabelType: TypeSandbox, LabelPod: pod},
			// It leaves with its pod.
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: pod, UID: uid}},
		},
		Spec: networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{LabelType: TypeSandbox, LabelPod: pod}}},
	}
	if access.Ingress {
		policy.Spec.PolicyTypes = append(policy.Spec.PolicyTypes, networkingv1.PolicyTypeIngress)
		policy.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{
			From: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: inNamespace(from), PodSelector: &metav1.LabelSelector{}}},
		}}
	}
	if len(access.Egress) > 0 {
		policy.Spec.PolicyTypes = append(policy.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
		policy.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{
			To: []networkingv1.NetworkPolicyPeer{{
				NamespaceSelector: inNamespace(metav1.NamespaceSystem),
				PodSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{"k8s-app": "kube-dns"}},
			}},
			Ports: []networkingv1.NetworkPolicyPort{policyPort(corev1.ProtocolUDP, 53), policyPort(corev1.ProtocolTCP, 53)},
		}}
		for _, rule := range access.Egress {
			if egress := o.egress(rule); egress != nil {
				policy.Spec.Egress = append(policy.Spec.Egress, *egress)
			}
		}
	}
	return policy
}

// egress opens one range, but for what lies inside it and is no part of the
// internet; nil if nothing is left.
func (o *Options) egress(rule llmsafespacev1.NetworkRule) *networkingv1.NetworkPolicyEgressRule {
	prefix, err := netip.ParsePrefix(rule.CIDR)
	if err != nil {
		return nil // the server has validated it
	}
	prefix = prefix.Masked()
	var except []netip.Prefix
	for _, inner := range slices.Concat(notInternet, prefixes(o.ClusterCIDRs...)) {
		if inner.Bits() > prefix.Bits() && prefix.Contains(inner.Addr()) {
			except = append(except, inner.Masked())
		}
	}
	for _, closed := range never {
		if closed.Bits() <= prefix.Bits() && closed.Contains(prefix.Addr()) {
			return nil
		}
		if closed.Bits() > prefix.Bits() && prefix.Contains(closed.Addr()) && !slices.Contains(except, closed) {
			except = append(except, closed)
		}
	}
	block := &networkingv1.IPBlock{CIDR: prefix.String()}
	for _, inner := range except {
		block.Except = append(block.Except, inner.String())
	}
	egress := &networkingv1.NetworkPolicyEgressRule{To: []networkingv1.NetworkPolicyPeer{{IPBlock: block}}}
	for _, p := range rule.Ports {
		egress.Ports = append(egress.Ports, policyPort(p.Protocol, p.Port))
	}
	if len(rule.Ports) == 0 {
		egress.Ports = []networkingv1.NetworkPolicyPort{policyPort(corev1.ProtocolTCP, 443)}
	}
	return egress
}

func inNamespace(name string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: name}}
}

func policyPort(protocol corev1.Protocol, number int32) networkingv1.NetworkPolicyPort {
	if protocol == "" {
		protocol = corev1.ProtocolTCP
	}
	return networkingv1.NetworkPolicyPort{Protocol: ptr.To(protocol), Port: ptr.To(intstr.FromInt32(number))}
}
