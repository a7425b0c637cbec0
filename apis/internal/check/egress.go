// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// EgressRules wants what kube-apiserver would accept in a NetworkPolicy, so
// that a mistake shows here and not when the policy is made.
func EgressRules(rules []networkingv1.NetworkPolicyEgressRule, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, rule := range rules {
		for j, port := range rule.Ports {
			errs = append(errs, policyPort(port, path.Index(i).Child("ports").Index(j))...)
		}
		for j, peer := range rule.To {
			errs = append(errs, policyPeer(peer, path.Index(i).Child("to").Index(j))...)
		}
	}
	return errs
}

func policyPort(port networkingv1.NetworkPolicyPort, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if port.Protocol != nil {
		errs = OneOf(*port.Protocol, path.Child("protocol"), corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP)
	}
	switch {
	case port.Port == nil:
	case port.Port.Type == intstr.Int:
		errs = append(errs, Port(port.Port.IntVal, path.Child("port"))...)
	default:
		errs = append(errs, invalid(path.Child("port"), port.Port.StrVal, validation.IsValidPortName(port.Port.StrVal))...)
	}
	if port.EndPort != nil {
		switch {
		case port.Port == nil || port.Port.Type != intstr.Int:
			errs = append(errs, field.Required(path.Child("port"), "a number, where endPort is set"))
		case *port.EndPort < port.Port.IntVal:
			errs = append(errs, field.Invalid(path.Child("endPort"), *port.EndPort, "must not be below port"))
		default:
			errs = append(errs, Port(*port.EndPort, path.Child("endPort"))...)
		}
	}
	return errs
}

// Port wants the number of a TCP or UDP port.
func Port(port int32, path *field.Path) field.ErrorList {
	return Between(&port, 1, 65535, path)
}

func policyPeer(peer networkingv1.NetworkPolicyPeer, path *field.Path) field.ErrorList {
	selectors := peer.PodSelector != nil || peer.NamespaceSelector != nil
	if selectors == (peer.IPBlock != nil) {
		return field.ErrorList{field.Required(path, "either ipBlock, or podSelector and namespaceSelector or one of the two")}
	}
	if peer.IPBlock != nil {
		return ipBlock(peer.IPBlock, path.Child("ipBlock"))
	}
	opts := metav1validation.LabelSelectorValidationOptions{}
	errs := metav1validation.ValidateLabelSelector(peer.PodSelector, opts, path.Child("podSelector"))
	return append(errs, metav1validation.ValidateLabelSelector(peer.NamespaceSelector, opts, path.Child("namespaceSelector"))...)
}

func ipBlock(block *networkingv1.IPBlock, path *field.Path) field.ErrorList {
	errs := CIDR(block.CIDR, path.Child("cidr"))
	whole, err := netip.ParsePrefix(block.CIDR)
	for i, except := range block.Except {
		exceptPath := path.Child("except").Index(i)
		if except := CIDR(except, exceptPath); len(except) > 0 {
			errs = append(errs, except...)
			continue
		}
		hole := netip.MustParsePrefix(except)
		if err == nil && (!whole.Contains(hole.Addr()) || hole.Bits() <= whole.Bits()) {
			errs = append(errs, field.Invalid(exceptPath, except, "must be a smaller range inside of cidr"))
		}
	}
	return errs
}

// CIDR wants an address range in its canonical form.
func CIDR(cidr string, path *field.Path) field.ErrorList {
	if cidr == "" {
		return field.ErrorList{field.Required(path, "an address range such as 192.0.2.0/24")}
	}
	prefix, err := netip.ParsePrefix(cidr)
	switch {
	case err != nil:
		return field.ErrorList{field.Invalid(path, cut(cidr), "must be an address range such as 192.0.2.0/24 or 2001:db8::/32")}
	case prefix != prefix.Masked():
		return field.ErrorList{field.Invalid(path, cidr, "has bits set behind its length: write "+prefix.Masked().String())}
	}
	return nil
}
