// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"safebeam.dev/safebeam/pkg/launcher"
)

// The addresses that no provider on the internet has: private, shared,
// link-local (the metadata services of clouds among them), loopback,
// benchmarking, multicast and reserved ones, and those that are translated to
// IPv4. (IPv4-mapped ones are IPv4 on the wire.)
var (
	notInternet4 = []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
	}
	notInternet6 = []string{"::/128", "::1/128", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "fc00::/7", "fe80::/10", "ff00::/8"}
)

// Network is what pods of jobs may reach besides their providers.
type Network struct {
	// GatewayNamespace and GatewayLabels select the pods of the gateway.
	GatewayNamespace string
	GatewayLabels    map[string]string
	GatewayPort      int32
	// ClusterCIDRs are ranges of the cluster that are not private ones.
	ClusterCIDRs []string
}

// policyPrefix comes before the model's name in that of its policy.
const policyPrefix = "tightbeam-llm-"

// networkPolicy closes the pods of a model's jobs: nothing in, and out the
// gateway, the cluster's DNS, and what the model says.
func (n Network) networkPolicy(spec launcher.JobSpec) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{
			Name: policyPrefix + spec.Model, Namespace: spec.Namespace,
			Labels:          labelsOf(spec),
			OwnerReferences: []metav1.OwnerReference{ownerOf(spec)},
		},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{LabelType: typeLLM, LabelModel: labelValue(spec.Model)}},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
			Egress:      n.egress(spec),
		},
	}
}

func (n Network) egress(spec launcher.JobSpec) []networkingv1.NetworkPolicyEgressRule {
	rules := []networkingv1.NetworkPolicyEgressRule{
		{
			To: []networkingv1.NetworkPolicyPeer{{
				NamespaceSelector: inNamespace(n.GatewayNamespace),
				PodSelector:       &metav1.LabelSelector{MatchLabels: n.GatewayLabels},
			}},
			Ports: []networkingv1.NetworkPolicyPort{port(corev1.ProtocolTCP, n.GatewayPort)},
		},
		{
			To: []networkingv1.NetworkPolicyPeer{{
				NamespaceSelector: inNamespace(metav1.NamespaceSystem),
				PodSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{"k8s-app": "kube-dns"}},
			}},
			Ports: []networkingv1.NetworkPolicyPort{port(corev1.ProtocolUDP, 53), port(corev1.ProtocolTCP, 53)},
		},
	}
	if spec.Egress != nil {
		return append(rules, spec.Egress...)
	}
	except4, except6 := slices.Clone(notInternet4), slices.Clone(notInternet6)
	for _, cidr := range n.ClusterCIDRs {
		if isIPv6(cidr) {
			except6 = append(except6, cidr)
		} else {
			except4 = append(except4, cidr)
		}
	}
	return append(rules, networkingv1.NetworkPolicyEgressRule{
		To: []networkingv1.NetworkPolicyPeer{
			{IPBlock: &networkingv1.IPBlock{CIDR: "0.0.0.0/0", Except: except4}},
			{IPBlock: &networkingv1.IPBlock{CIDR: "::/0", Except: except6}},
		},
		Ports: []networkingv1.NetworkPolicyPort{port(corev1.ProtocolTCP, 443)},
	})
}

func isIPv6(cidr string) bool {
	for _, c := range cidr {
		if c == ':' {
			return true
		}
	}
	return false
}

func inNamespace(name string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: name}}
}

func port(protocol corev1.Protocol, number int32) networkingv1.NetworkPolicyPort {
	return networkingv1.NetworkPolicyPort{Protocol: ptr.To(protocol), Port: ptr.To(intstr.FromInt32(number))}
}

// ensurePolicy has the policy of a model's jobs be as it is wanted. It comes before
// every Job, and asks the API server then, not an informer: somebody may have removed
// or changed it a moment ago.
func (l *Launcher) ensurePolicy(ctx context.Context, wanted *networkingv1.NetworkPolicy, model string) error {
	policies := l.options.Client.NetworkingV1().NetworkPolicies(wanted.Namespace)
	found, err := policies.Get(ctx, wanted.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = policies.Create(ctx, wanted, metav1.CreateOptions{FieldManager: fieldManager})
		return err
	}
	if err != nil {
		return err
	}
	if equality.Semantic.DeepEqual(found.Spec, wanted.Spec) && equality.Semantic.DeepEqual(found.OwnerReferences, wanted.OwnerReferences) {
		return nil
	}
	if !isPolicyOf(found, model) {
		return fmt.Errorf("there is a NetworkPolicy %q that is not the model's: remove it", wanted.Name)
	}
	found.Spec, found.OwnerReferences = wanted.Spec, wanted.OwnerReferences
	_, err = policies.Update(ctx, found, metav1.UpdateOptions{FieldManager: fieldManager})
	return err
}

// isPolicyOf tells a policy of ours from somebody's of the same name: the model
// owns it, or pods of a model do that is gone, and then it has our labels alone.
func isPolicyOf(policy *networkingv1.NetworkPolicy, model string) bool {
	if owner := metav1.GetControllerOf(policy); owner != nil {
		return owner.Kind == modelKind && owner.Name == model
	}
	return policy.Labels[LabelType] == typeLLM && policy.Labels[LabelModel] == labelValue(model)
}
