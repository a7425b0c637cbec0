// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/cli/request"
)

// specFlags are what a user may say about a sandbox. What is not here can be
// said in a manifest.
type specFlags struct {
	runtime, securityLevel, profile string
	lifetime, idleTimeout           time.Duration
	cpu, memory, storage            string
	env                             []string
	cold                            bool
}

var securityLevels = []string{string(llmsafespacev1.SecurityStandard), string(llmsafespacev1.SecurityHigh), string(llmsafespacev1.SecurityCustom)}

func (f *specFlags) add(command *cobra.Command, flags *pflag.FlagSet, target *request.Target) {
	flags.StringVar(&f.runtime, "runtime", "", "What runs: LANGUAGE:VERSION such as python:3.11, or the name of a RuntimeEnvironment.")
	flags.StringVar(&f.securityLevel, "security-level", "", "How it is held: "+strings.Join(securityLevels, ", ")+". Default: standard.")
	flags.StringVar(&f.profile, "profile", "", "The SandboxProfile that bounds it, as NAME or NAMESPACE/NAME.")
	flags.DurationVar(&f.lifetime, "lifetime", 0, "How long the sandbox may be. Default: 5m0s.")
	flags.DurationVar(&f.idleTimeout, "idle-timeout", 0, "End it earlier when nothing ran and nothing was moved for that long.")
	flags.StringVar(&f.cpu, "cpu", "", "Its CPU limit in cores. Default: 500m.")
	flags.StringVar(&f.memory, "memory", "", "Its memory limit. Default: 512Mi.")
	flags.StringVar(&f.storage, "ephemeral-storage", "", "The limit of its files. Default: 1Gi.")
	flags.StringArrayVar(&f.env, "env", nil, "NAME=VALUE for every process. May be repeated.")
	flags.BoolVar(&f.cold, "cold", false, "Take no warm pod.")
	_ = command.RegisterFlagCompletionFunc("runtime", completeRuntimes(target))
	_ = command.RegisterFlagCompletionFunc("security-level", cobra.FixedCompletions(securityLevels, cobra.ShellCompDirectiveNoFileComp))
}

// sandbox is the object that the flags describe.
func (f *specFlags) sandbox(namespace, name string, given func(flag string) bool) (*llmsafespacev1.Sandbox, error) {
	if f.runtime == "" {
		return nil, errors.New("--runtime is missing: `kubectl get runtimeenvironments` lists what there is")
	}
	s := &llmsafespacev1.Sandbox{
		TypeMeta:   metav1.TypeMeta{APIVersion: llmsafespacev1.SchemeGroupVersion.String(), Kind: "Sandbox"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       llmsafespacev1.SandboxSpec{Runtime: f.runtime, SecurityLevel: llmsafespacev1.SecurityLevel(f.securityLevel)},
	}
	var err error
	if given("lifetime") {
		if s.Spec.Timeout, err = request.Seconds("--lifetime", f.lifetime, 1); err != nil {
			return nil, err
		}
	}
	if given("idle-timeout") {
		if s.Spec.IdleTimeout, err = request.Seconds("--idle-timeout", f.idleTimeout, 1); err != nil {
			return nil, err
		}
	}
	var resources llmsafespacev1.Resources
	for _, q := range []struct {
		flag, text, such string
		quantity         **resource.Quantity
	}{
		{"cpu", f.cpu, "500m or 2", &resources.CPU},
		{"memory", f.memory, "512Mi", &resources.Memory},
		{"ephemeral-storage", f.storage, "1Gi", &resources.EphemeralStorage},
	} {
		if !given(q.flag) {
			continue
		}
		quantity, err := resource.ParseQuantity(q.text)
		if err != nil {
			return nil, fmt.Errorf("--%s=%s: it must be a quantity such as %s", q.flag, q.text, q.such)
		}
		*q.quantity = &quantity
		s.Spec.Resources = &resources
	}
	if s.Spec.Env, err = variables(f.env); err != nil {
		return nil, err
	}
	if f.profile != "" {
		namespace, name, found := strings.Cut(f.profile, "/")
		if !found {
			namespace, name = "", namespace
		}
		s.Spec.ProfileRef = &llmsafespacev1.ObjectReference{Namespace: namespace, Name: name}
	}
	if f.cold {
		warm := false
		s.Spec.UseWarmPool = &warm
	}
	return s, nil
}

func variables(settings []string) (env []llmsafespacev1.EnvVar, err error) {
	for _, setting := range settings {
		name, value, found := strings.Cut(setting, "=")
		if !found || name == "" {
			return nil, fmt.Errorf("--env=%s: it must be NAME=VALUE", setting)
		}
		env = append(env, llmsafespacev1.EnvVar{Name: name, Value: value})
	}
	return env, nil
}
