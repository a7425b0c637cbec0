// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"safebeam.dev/safebeam/apis/internal/check"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// rules validates what may be reached. Names are refused: a policy by address
// would not hold them when they move, and would open what shares the address.
func rules(rules []v1.NetworkRule, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(rules) > maxRules {
		errs = append(errs, field.TooMany(path, len(rules), maxRules))
	}
	for i, rule := range rules {
		rulePath := path.Index(i)
		if rule.Domain != "" {
			errs = append(errs, field.Forbidden(rulePath.Child("domain"), "is not supported: name the addresses by cidr"))
		} else {
			errs = append(errs, check.CIDR(rule.CIDR, rulePath.Child("cidr"))...)
		}
		if len(rule.Ports) > maxPorts {
			errs = append(errs, field.TooMany(rulePath.Child("ports"), len(rule.Ports), maxPorts))
		}
		for j, port := range rule.Ports {
			portPath := rulePath.Child("ports").Index(j)
			errs = append(errs, check.Port(port.Port, portPath.Child("port"))...)
			errs = append(errs, check.OneOf(port.Protocol, portPath.Child("protocol"), corev1.ProtocolTCP, corev1.ProtocolUDP)...)
		}
	}
	return errs
}
