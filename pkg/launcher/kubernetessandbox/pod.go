// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetessandbox

import (
	"encoding/json"
	"fmt"
	"net"
	"path"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/gateway/sandboxidentity"
	"safebeam.dev/safebeam/pkg/launcher"
)

// Labels of sandbox pods and of what belongs to them.
const (
	// LabelType marks all of them; the NetworkPolicy of a namespace selects it.
	LabelType   = "llmsafespace.dev/type"
	TypeSandbox = "sandbox"
	// LabelPod has the pod's own name, for the policy that is its alone.
	LabelPod = "llmsafespace.dev/pod"
	// LabelOwner has the UID of the Sandbox or WarmPod.
	LabelOwner = "llmsafespace.dev/owner-uid"
	// LabelLanguage and LabelSecurityLevel are for people, and for policies of
	// their own making.
	LabelLanguage      = "llmsafespace.dev/language"
	LabelSecurityLevel = "llmsafespace.dev/security-level"
)

const (
	annotationOwner     = "safebeam.dev/owner"
	annotationGatewayCA = "safebeam.dev/gateway-ca"

	containerName     = "sandbox"
	initContainerName = "sandboxd"

	agentDir   = "/run/safebeam/bin"
	agentPath  = agentDir + "/sandboxd"
	gatewayDir = "/run/safebeam/gateway"
	tokenPath  = "token"
	caPath     = "ca.crt"
	workspace  = "/workspace"

	volumeAgent     = "sandboxd"
	volumeGateway   = "gateway"
	volumeWorkspace = "workspace-volume"

	// tokenLifetime of the token for the gateway. The kubelet renews it.
	tokenLifetime = 3600
	// grace is the kubelet's least: sandboxd has nothing to say goodbye to, and
	// zero would take the pod out of the API before it is gone.
	grace = 1
	// lostAfter is how long a pod stays bound to a node that is not heard of.
	lostAfter = 30
)

// template is what all pods have in common.
type template struct {
	gatewayIP      string
	gatewayHost    string
	gatewayPort    int32
	gatewayCA      []byte
	agentImage     string
	runtimeClass   string
	userNamespaces bool
	pidsLimit      int64
}

// pod makes the Pod of a specification.
func (t template) pod(spec launcher.PodSpec) *corev1.Pod {
	labels := map[string]string{}
	for name, value := range spec.Labels {
		labels[name] = value
	}
	labels[LabelType], labels[LabelPod], labels[LabelOwner] = TypeSandbox, spec.Name, string(spec.Owner.UID)
	labels[LabelLanguage], labels[LabelSecurityLevel] = spec.Language, string(spec.SecurityLevel)
	volumes, mounts := t.volumes(spec)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: spec.Name, Namespace: spec.Namespace, Labels: labels,
			Annotations:     map[string]string{annotationOwner: encodeOwner(spec.Owner), annotationGatewayCA: string(t.gatewayCA)},
			OwnerReferences: []metav1.OwnerReference{ownerReference(spec.Owner)},
		},
		Spec: corev1.PodSpec{
			RestartPolicy:                 corev1.RestartPolicyNever,
			TerminationGracePeriodSeconds: ptr.To[int64](grace),
			AutomountServiceAccountToken:  ptr.To(false),
			EnableServiceLinks:            ptr.To(false),
			Hostname:                      "sandbox",
			Tolerations: []corev1.Toleration{
				{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: ptr.To[int64](lostAfter)},
				{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: ptr.To[int64](lostAfter)},
			},
			SecurityContext: podSecurity(spec),
			InitContainers: []corev1.Container{{
				Name: initContainerName, Image: t.agentImage, ImagePullPolicy: corev1.PullIfNotPresent,
				Args:            []string{"--install=" + agentPath},
				Resources:       resources(spec),
				SecurityContext: containerSecurity(true),
				VolumeMounts:    []corev1.VolumeMount{{Name: volumeAgent, MountPath: agentDir}},
			}},
			Containers: []corev1.Container{{
				Name: containerName, Image: spec.Image, ImagePullPolicy: corev1.PullIfNotPresent,
				Command:                  []string{agentPath},
				Args:                     t.arguments(spec),
				WorkingDir:               "/",
				Resources:                resources(spec),
				SecurityContext:          containerSecurity(ptr.Deref(spec.Filesystem.ReadOnlyRoot, true)),
				TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
				VolumeMounts:             mounts,
			}},
			Volumes: volumes,
		},
	}
	if spec.SecurityLevel == llmsafespacev1.SecurityHigh {
		pod.Spec.RuntimeClassName = ptr.To(t.runtimeClass)
	}
	if t.userNamespaces {
		pod.Spec.HostUsers = ptr.To(false)
	}
	t.dns(spec, &pod.Spec)
	return pod
}

// dns leaves a pod that may reach nothing without a resolver to wait for. A warm
// one may be opened later, and then needs the cluster's.
func (t template) dns(spec launcher.PodSpec, pod *corev1.PodSpec) {
	if spec.Owner.Kind == launcher.OwnerWarmPod || spec.NetworkAccess != nil && len(spec.NetworkAccess.Egress) > 0 {
		pod.DNSPolicy = corev1.DNSClusterFirst
		return
	}
	pod.DNSPolicy = corev1.DNSNone
	pod.DNSConfig = &corev1.PodDNSConfig{Nameservers: []string{"127.0.0.1"}}
}

func (t template) arguments(spec launcher.PodSpec) []string {
	home := home(spec.Filesystem.WritablePaths)
	arguments := []string{
		"--gateway=" + net.JoinHostPort(t.gatewayIP, strconv.Itoa(int(t.gatewayPort))),
		"--server-name=" + t.gatewayHost,
		"--ca-file=" + gatewayDir + "/" + caPath,
		"--token-file=" + gatewayDir + "/" + tokenPath,
		"--memory-limit=" + strconv.FormatInt(spec.Resources.Memory.Value(), 10),
		"--pids-limit=" + strconv.FormatInt(t.pidsLimit, 10),
		"--env=HOME=" + home, "--env=USER=sandbox", "--env=TMPDIR=" + temporary(spec.Filesystem.WritablePaths),
	}
	// Processes start in the first of them.
	paths := slices.Clone(spec.Filesystem.WritablePaths)
	slices.SortStableFunc(paths, func(a, b string) int {
		switch home {
		case a:
			return -1
		case b:
			return 1
		}
		return 0
	})
	for _, writable := range paths {
		arguments = append(arguments, "--writable-path="+writable)
	}
	return arguments
}

func home(paths []string) string {
	if slices.Contains(paths, workspace) || len(paths) == 0 {
		return workspace
	}
	return paths[0]
}

func temporary(paths []string) string {
	if slices.Contains(paths, "/tmp") {
		return "/tmp"
	}
	return home(paths)
}

// volumes are what is mounted: sandboxd, its token, and a volume for each
// writable path.
func (t template) volumes(spec launcher.PodSpec) ([]corev1.Volume, []corev1.VolumeMount) {
	volumes := []corev1.Volume{
		{Name: volumeAgent, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: ptr.To(resource.MustParse("64Mi"))}}},
		t.gatewayVolume(),
	}
	mounts := []corev1.VolumeMount{
		{Name: volumeAgent, MountPath: agentDir, ReadOnly: true},
		{Name: volumeGateway, MountPath: gatewayDir, ReadOnly: true},
	}
	// A path inside another has to be mounted after it.
	paths := slices.Clone(spec.Filesystem.WritablePaths)
	slices.Sort(paths)
	for i, writable := range paths {
		volume := corev1.Volume{Name: "writable-" + strconv.Itoa(i), VolumeSource: corev1.VolumeSource{
			EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: spec.Resources.EphemeralStorage},
		}}
		if writable == workspace && persistent(spec) {
			volume = corev1.Volume{Name: volumeWorkspace, VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claimName(spec.Owner)},
			}}
		}
		volumes = append(volumes, volume)
		mounts = append(mounts, corev1.VolumeMount{Name: volume.Name, MountPath: path.Clean(writable)})
	}
	return volumes, mounts
}

// gatewayVolume has the token for the gateway and what to trust it by.
func (t template) gatewayVolume() corev1.Volume {
	return corev1.Volume{Name: volumeGateway, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		DefaultMode: ptr.To[int32](0o440),
		Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
				Audience: sandboxidentity.Audience, ExpirationSeconds: ptr.To[int64](tokenLifetime), Path: tokenPath,
			}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{
				Path:     caPath,
				FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.annotations['" + annotationGatewayCA + "']"},
			}}}},
		},
	}}}
}

// resources are limits, and requested in full: what a sandbox was promised is
// there, and it is the last to be evicted.
func resources(spec launcher.PodSpec) corev1.ResourceRequirements {
	list := corev1.ResourceList{}
	for name, quantity := range map[corev1.ResourceName]*resource.Quantity{
		corev1.ResourceCPU: spec.Resources.CPU, corev1.ResourceMemory: spec.Resources.Memory, corev1.ResourceEphemeralStorage: spec.Resources.EphemeralStorage,
	} {
		if quantity != nil {
			list[name] = quantity.DeepCopy()
		}
	}
	return corev1.ResourceRequirements{Requests: list, Limits: list.DeepCopy()}
}

func podSecurity(spec launcher.PodSpec) *corev1.PodSecurityContext {
	seccomp := &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}
	if profile := spec.SecurityContext.SeccompProfile; profile != nil && profile.Type == llmsafespacev1.SeccompLocalhost {
		seccomp = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeLocalhost, LocalhostProfile: ptr.To(profile.LocalhostProfile)}
	}
	group := ptr.Deref(spec.SecurityContext.RunAsGroup, 1000)
	return &corev1.PodSecurityContext{
		RunAsNonRoot: ptr.To(true),
		RunAsUser:    ptr.To(ptr.Deref(spec.SecurityContext.RunAsUser, 1000)),
		RunAsGroup:   ptr.To(group), FSGroup: ptr.To(group),
		// A volume that lives on is not walked through at every start.
		FSGroupChangePolicy: ptr.To(corev1.FSGroupChangeOnRootMismatch),
		SeccompProfile:      seccomp,
	}
}

func containerSecurity(readOnlyRoot bool) *corev1.SecurityContext {
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: ptr.To(false),
		ReadOnlyRootFilesystem:   ptr.To(readOnlyRoot),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
}

func persistent(spec launcher.PodSpec) bool { return spec.Storage != nil && spec.Storage.Persistent }

func claimName(owner launcher.Owner) string {
	id := string(owner.UID)
	return fmt.Sprintf("sandbox-%s", id)
}

func ownerReference(owner launcher.Owner) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: llmsafespacev1.SchemeGroupVersion.String(), Kind: string(owner.Kind), Name: owner.Name, UID: owner.UID, Controller: ptr.To(true),
	}
}

func encodeOwner(owner launcher.Owner) string {
	raw, err := json.Marshal(owner)
	if err != nil {
		panic(fmt.Sprintf("an owner always marshals: %v", err))
	}
	return string(raw)
}

// ownerOf is whose a pod is; ok is false if it is not one of ours. All that whoever
// may create pods in a namespace can write is an owner of that namespace: what is
// swept with a pod is its owner's volume.
func ownerOf(pod *corev1.Pod) (owner launcher.Owner, ok bool) {
	err := json.Unmarshal([]byte(pod.Annotations[annotationOwner]), &owner)
	return owner, err == nil && owner.UID != "" && owner.Namespace == pod.Namespace && (owner.Kind == launcher.OwnerSandbox || owner.Kind == launcher.OwnerWarmPod)
}
