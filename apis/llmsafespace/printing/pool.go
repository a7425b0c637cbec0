// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package printing

import (
	"strings"
	"time"

	"safebeam.dev/safebeam/apis/internal/table"
	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
)

// WarmPools prints WarmPools.
func WarmPools() *table.Convertor[*v1.WarmPool] { return table.New(warmPools...) }

var warmPools = []table.Column[*v1.WarmPool]{
	{Name: "Runtime", Description: "The language and version, or the RuntimeEnvironment.", Cell: func(p *v1.WarmPool, _ time.Time) any {
		return p.Spec.Runtime
	}},
	{Name: "Min", Type: "integer", Description: "Unused pods that are kept ready.", Cell: func(p *v1.WarmPool, _ time.Time) any {
		return int64(p.Spec.MinSize)
	}},
	{Name: "Max", Description: "The largest number of pods.", Cell: func(p *v1.WarmPool, _ time.Time) any {
		if p.Spec.MaxSize == 0 {
			return table.None
		}
		return table.Count(int64(p.Spec.MaxSize))
	}},
	{Name: "Available", Type: "integer", Description: "Pods ready and unused.", Cell: func(p *v1.WarmPool, _ time.Time) any {
		return int64(p.Status.AvailablePods)
	}},
	{Name: "Assigned", Type: "integer", Description: "Pods that serve a sandbox.", Cell: func(p *v1.WarmPool, _ time.Time) any {
		return int64(p.Status.AssignedPods)
	}},
	{Name: "Pending", Type: "integer", Description: "Pods being made.", Cell: func(p *v1.WarmPool, _ time.Time) any {
		return int64(p.Status.PendingPods)
	}},
	{Name: "Ready", Description: "Whether a claim finds a pod.", Cell: func(p *v1.WarmPool, _ time.Time) any {
		return table.Condition(p.Status.Conditions, v1.WarmPoolReady)
	}},
	{Name: "Reason", Wide: true, Description: "Why the pool is not ready.", Cell: func(p *v1.WarmPool, _ time.Time) any {
		return table.Reason(p.Status.Conditions, v1.WarmPoolReady)
	}},
	{Name: "Hit Rate", Wide: true, Description: "How many fitting sandboxes found a pod, of late.", Cell: func(p *v1.WarmPool, _ time.Time) any {
		if p.Status.HitRate == nil {
			return table.None
		}
		return table.OptionalNumber(p.Status.HitRate) + "%"
	}},
	{Name: "Security", Wide: true, Description: "The security level.", Cell: func(p *v1.WarmPool, _ time.Time) any {
		return table.OrNone(p.Spec.SecurityLevel)
	}},
	{Name: "Last Scale", Wide: true, Description: "When the wanted number of pods last changed.", Cell: func(p *v1.WarmPool, now time.Time) any {
		return table.Ago(now, p.Status.LastScaleTime)
	}},
}

// WarmPods prints WarmPods.
func WarmPods() *table.Convertor[*v1.WarmPod] { return table.New(warmPods...) }

var warmPods = []table.Column[*v1.WarmPod]{
	{Name: "Pool", Description: "The pool that made the pod.", Cell: func(p *v1.WarmPod, _ time.Time) any {
		return p.Spec.PoolRef.Name
	}},
	{Name: "Status", Description: "Where the pod is in its life.", Cell: func(p *v1.WarmPod, _ time.Time) any {
		return table.Phase(p, p.Status.Phase)
	}},
	{Name: "Assigned To", Description: "The sandbox that it serves.", Cell: func(p *v1.WarmPod, _ time.Time) any {
		return table.OrNone(p.Status.AssignedTo)
	}},
	{Name: "Reason", Wide: true, Description: "Why the pod is not ready.", Cell: func(p *v1.WarmPod, _ time.Time) any {
		return table.OrNone(p.Status.Reason)
	}},
	{Name: "Runtime", Wide: true, Description: "The RuntimeEnvironment that runs.", Cell: func(p *v1.WarmPod, _ time.Time) any {
		return table.OrNone(p.Status.RuntimeEnvironment)
	}},
	{Name: "Pod", Wide: true, Description: "The pod itself.", Cell: func(p *v1.WarmPod, _ time.Time) any {
		return table.OrNone(p.Status.PodName)
	}},
}

// SandboxProfiles prints SandboxProfiles.
func SandboxProfiles() *table.Convertor[*v1.SandboxProfile] { return table.New(profiles...) }

var profiles = []table.Column[*v1.SandboxProfile]{
	{Name: "Language", Description: "The language that the profile is for.", Cell: func(p *v1.SandboxProfile, _ time.Time) any {
		return p.Spec.Language
	}},
	{Name: "Security", Description: "The least security level.", Cell: func(p *v1.SandboxProfile, _ time.Time) any {
		return table.OrNone(p.Spec.SecurityLevel)
	}},
	{Name: "Seccomp", Wide: true, Description: "The seccomp profile.", Cell: func(p *v1.SandboxProfile, _ time.Time) any {
		return table.OrNone(p.Spec.SeccompProfile)
	}},
	{Name: "Packages", Wide: true, Description: "What a runtime must have.", Cell: func(p *v1.SandboxProfile, _ time.Time) any {
		return table.Line(strings.Join(p.Spec.PreInstalledPackages, ","), 40)
	}},
}

// RuntimeEnvironments prints RuntimeEnvironments.
func RuntimeEnvironments() *table.Convertor[*v1.RuntimeEnvironment] { return table.New(runtimes...) }

var runtimes = []table.Column[*v1.RuntimeEnvironment]{
	{Name: "Language", Description: "The language.", Cell: func(r *v1.RuntimeEnvironment, _ time.Time) any {
		return r.Spec.Language
	}},
	{Name: "Version", Description: "The version that really runs.", Cell: func(r *v1.RuntimeEnvironment, _ time.Time) any {
		return table.OrNone(r.Spec.Version)
	}},
	{Name: "Serves", Description: "Further versions that are answered with this one.", Cell: func(r *v1.RuntimeEnvironment, _ time.Time) any {
		return table.Line(strings.Join(r.Spec.ServesVersions, ","), 24)
	}},
	{Name: "Available", Type: "boolean", Description: "Whether sandboxes can be made from it.", Cell: func(r *v1.RuntimeEnvironment, _ time.Time) any {
		return r.Status.Available
	}},
	{Name: "Image", Wide: true, Description: "The image that pods run.", Cell: func(r *v1.RuntimeEnvironment, _ time.Time) any {
		return r.Spec.Image
	}},
	{Name: "Packages", Wide: true, Description: "How packages are installed.", Cell: func(r *v1.RuntimeEnvironment, _ time.Time) any {
		return table.OrNone(r.Spec.PackageManager)
	}},
	{Name: "Tags", Wide: true, Description: "Tags.", Cell: func(r *v1.RuntimeEnvironment, _ time.Time) any {
		return table.Line(strings.Join(r.Spec.Tags, ","), 40)
	}},
}
