// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"fmt"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"

	"safebeam.dev/safebeam/apis/llmsafespace/validation"
)

// SandboxOptions bound what a sandbox may ask for.
type SandboxOptions struct {
	// MaxCPU and the others are quantities. Zero or less is refused: a sandbox
	// without a bound would be one that takes the machine.
	MaxCPU, MaxMemory, MaxEphemeralStorage, MaxVolumeSize resource.QuantityValue
}

// NewSandboxOptions returns the limits of LLMSafeSpace, and others in their
// proportion.
func NewSandboxOptions() *SandboxOptions {
	value := func(s string) resource.QuantityValue {
		return resource.QuantityValue{Quantity: resource.MustParse(s)}
	}
	return &SandboxOptions{MaxCPU: value("4"), MaxMemory: value("8Gi"), MaxEphemeralStorage: value("32Gi"), MaxVolumeSize: value("64Gi")}
}

func (o *SandboxOptions) each(f func(flag, what string, value *resource.QuantityValue)) {
	f("sandbox-max-cpu", "cores", &o.MaxCPU)
	f("sandbox-max-memory", "memory", &o.MaxMemory)
	f("sandbox-max-ephemeral-storage", "disk space", &o.MaxEphemeralStorage)
	f("sandbox-max-volume-size", "volume", &o.MaxVolumeSize)
}

func (o *SandboxOptions) addFlags(fs *pflag.FlagSet) {
	o.each(func(flag, what string, value *resource.QuantityValue) {
		fs.Var(value, flag, fmt.Sprintf("The most %s that one sandbox, or one pod of a warm pool, may ask for.", what))
	})
}

func (o *SandboxOptions) validate() (errs []error) {
	o.each(func(flag, _ string, value *resource.QuantityValue) {
		if value.Sign() <= 0 {
			errs = append(errs, fmt.Errorf("--%s=%s must be above 0", flag, value.Quantity.String()))
		}
	})
	return errs
}

func (o *SandboxOptions) limits() validation.Limits {
	return validation.Limits{
		CPU: o.MaxCPU.Quantity, Memory: o.MaxMemory.Quantity, EphemeralStorage: o.MaxEphemeralStorage.Quantity, VolumeSize: o.MaxVolumeSize.Quantity,
	}
}
