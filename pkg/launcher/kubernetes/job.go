// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/gateway/podidentity"
	"safebeam.dev/safebeam/pkg/launcher"
	"safebeam.dev/safebeam/pkg/llmjob"
)

// Labels of Jobs and their pods.
const (
	LabelPartOf = "app.kubernetes.io/part-of"
	LabelType   = "tightbeam.dev/type"
	LabelModel  = "tightbeam.dev/model"

	partOf    = "tightbeam"
	typeLLM   = "llm"
	modelKind = "TightbeamModel"
)

// Annotations of Jobs: what they were made of.
const (
	annotationSpec   = "safebeam.dev/job-spec"
	annotationLaunch = "safebeam.dev/launch-time"
	annotationWarm   = "safebeam.dev/warm"
	// annotationMaterial changes with what a job is made of besides its spec.
	annotationMaterial = "safebeam.dev/material"
	// annotationGatewayCA of pods is projected into a file.
	annotationGatewayCA = "safebeam.dev/gateway-ca"
)

const (
	// ttlAfterFinished is how long a finished Job stays for people to look at.
	ttlAfterFinished = 30
	// drainGrace is how long a job that was asked to leave may finish the
	// turns that it holds: the default deadline of a turn.
	drainGrace = 10 * time.Minute
	// killGrace is what the kubelet waits longer than the job itself.
	killGrace = 10 * time.Second
	// tokenLifetime of the token for the gateway. The kubelet renews it.
	tokenLifetime = 3600
	// user is what everything in our images runs as.
	user = 65532

	containerName = "llm"
	gatewayDir    = "/run/safebeam/gateway"
	tokenPath     = "token"
	caPath        = "ca.crt"
)

// Resources of a job's container. A job holds the messages of its turns in
// memory, images included, and does little else than wait.
var Resources = corev1.ResourceRequirements{
	Requests: corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("10m"),
		corev1.ResourceMemory: resource.MustParse("32Mi"),
	},
	Limits: corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("1"),
		corev1.ResourceMemory:           resource.MustParse("512Mi"),
		corev1.ResourceEphemeralStorage: resource.MustParse("64Mi"),
	},
}

// template is what all Jobs have in common.
type template struct {
	gatewayAddress string
	gatewayCA      []byte
}

// job makes the Job of a launch.
func (t template) job(what launcher.Job, image string) *batchv1.Job {
	labels := labelsOf(what.Spec)
	annotations := map[string]string{
		annotationSpec:     encodeSpec(what.Spec),
		annotationLaunch:   what.StartTime.UTC().Format(time.RFC3339Nano),
		annotationMaterial: material(image, t.gatewayCA),
	}
	if what.Warm {
		annotations[annotationWarm] = "true"
	}
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Name: what.Name, Namespace: what.Spec.Namespace,
			Labels: labels, Annotations: annotations,
			OwnerReferences: []metav1.OwnerReference{ownerOf(what.Spec)},
		},
		Spec: batchv1.JobSpec{
			BackoffLimit:            ptr.To[int32](0),
			TTLSecondsAfterFinished: ptr.To[int32](ttlAfterFinished),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{
					Labels:      labels,
					Annotations: map[string]string{annotationGatewayCA: string(t.gatewayCA)},
				},
				Spec: t.pod(what, image),
			},
		},
	}
}

func (t template) pod(what launcher.Job, image string) corev1.PodSpec {
	volumes := []corev1.Volume{t.gatewayVolume()}
	mounts := []corev1.VolumeMount{{Name: "gateway", MountPath: gatewayDir, ReadOnly: true}}
	secretDir := ""
	if what.Spec.SecretName != "" {
		secretDir = llmjob.DefaultSecretDir
		volumes = append(volumes, corev1.Volume{Name: "llm", VolumeSource: corev1.VolumeSource{
			// The group may read, and is the pod's own.
			Secret: &corev1.SecretVolumeSource{SecretName: what.Spec.SecretName, DefaultMode: ptr.To[int32](0o440)},
		}})
		mounts = append(mounts, corev1.VolumeMount{Name: "llm", MountPath: secretDir, ReadOnly: true})
	}
	idle := what.Spec.IdleTimeout
	if what.Warm {
		idle = 0
	}
	return corev1.PodSpec{
		RestartPolicy:                 corev1.RestartPolicyNever,
		TerminationGracePeriodSeconds: ptr.To(int64((drainGrace + killGrace).Seconds())),
		AutomountServiceAccountToken:  ptr.To(false),
		EnableServiceLinks:            ptr.To(false),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: ptr.To(true),
			RunAsUser:    ptr.To[int64](user), RunAsGroup: ptr.To[int64](user), FSGroup: ptr.To[int64](user),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{{
			Name: containerName, Image: image, ImagePullPolicy: corev1.PullIfNotPresent,
			Args: []string{
				flag(llmjob.FlagCAFile, gatewayDir+"/"+caPath),
				flag(llmjob.FlagTokenFile, gatewayDir+"/"+tokenPath),
				flag(llmjob.FlagSecretDir, secretDir),
				flag(llmjob.FlagIdleTimeout, idle.String()),
				flag(llmjob.FlagTurnsPerJob, strconv.Itoa(int(what.Spec.TurnsPerJob))),
				flag(llmjob.FlagShutdownGrace, drainGrace.String()),
			},
			Env: []corev1.EnvVar{
				{Name: llmjob.EnvControllerAddr, Value: t.gatewayAddress},
				{Name: llmjob.EnvModelName, Value: what.Spec.Model},
				{Name: llmjob.EnvJobID, Value: what.Name},
			},
			Resources: *Resources.DeepCopy(),
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: ptr.To(false),
				ReadOnlyRootFilesystem:   ptr.To(true),
				Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
			VolumeMounts: mounts,
		}},
		Volumes: volumes,
	}
}

// gatewayVolume has the token for the gateway and what to trust it by.
func (t template) gatewayVolume() corev1.Volume {
	return corev1.Volume{Name: "gateway", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		DefaultMode: ptr.To[int32](0o440),
		Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
				Audience: podidentity.AudienceLLMJob, ExpirationSeconds: ptr.To[int64](tokenLifetime), Path: tokenPath,
			}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{
				Path:     caPath,
				FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.annotations['" + annotationGatewayCA + "']"},
			}}}},
		},
	}}}
}

func flag(name, value string) string { return "--" + name + "=" + value }

func labelsOf(spec launcher.JobSpec) map[string]string {
	return map[string]string{LabelPartOf: partOf, LabelType: typeLLM, LabelModel: labelValue(spec.Model)}
}

// labelValue is a name, or what stands for one that is too long for a label.
func labelValue(name string) string {
	const longest, hashLength = 63, 10
	if len(name) <= longest {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:longest-hashLength-1] + "-" + hex.EncodeToString(sum[:])[:hashLength]
}

func ownerOf(spec launcher.JobSpec) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: tightbeamv1.SchemeGroupVersion.String(), Kind: modelKind,
		Name: spec.Model, UID: spec.ModelUID,
		Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true),
	}
}

// material names what a job is made of besides its spec.
func material(image string, gatewayCA []byte) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s", image, gatewayCA))
	return hex.EncodeToString(sum[:8])
}

func encodeSpec(spec launcher.JobSpec) string {
	data, err := json.Marshal(spec)
	if err != nil {
		panic(fmt.Sprintf("a job spec always marshals: %v", err))
	}
	return string(data)
}

// launched reads what a Job was made of.
func launched(job *batchv1.Job) (launcher.Job, error) {
	what := launcher.Job{Name: job.Name, Warm: job.Annotations[annotationWarm] != "", Stopping: job.DeletionTimestamp != nil}
	if err := json.Unmarshal([]byte(job.Annotations[annotationSpec]), &what.Spec); err != nil {
		return what, fmt.Errorf("annotation %s: %w", annotationSpec, err)
	}
	start, err := time.Parse(time.RFC3339Nano, job.Annotations[annotationLaunch])
	if err != nil {
		return what, fmt.Errorf("annotation %s: %w", annotationLaunch, err)
	}
	what.StartTime = start
	owner := metav1.GetControllerOf(job)
	if owner == nil || owner.UID != what.Spec.ModelUID || owner.Name != what.Spec.Model || job.Namespace != what.Spec.Namespace {
		return what, fmt.Errorf("its owner is not the model that annotation %s names", annotationSpec)
	}
	return what, nil
}
