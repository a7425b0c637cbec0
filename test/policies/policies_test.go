// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package policies

import (
	"context"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/launcher"
	"safebeam.dev/safebeam/pkg/launcher/kubernetes"
	"safebeam.dev/safebeam/pkg/launcher/kubernetessandbox"
)

// made is what the launchers make, with the defaults of a kube-apiserver that
// the policies look at.
type made struct {
	job      *batchv1.Job
	pod      *corev1.Pod
	policies []networkingv1.NetworkPolicy
	claim    *corev1.PersistentVolumeClaim
}

func launch(t *testing.T) made {
	t.Helper()
	flags := flags(t)
	client := fake.NewClientset()
	ctx, cancel := context.WithCancel(t.Context())
	ca := func() []byte { return []byte("PEM") }
	labels := map[string]string{"app.kubernetes.io/name": "safebeam-apiserver"}
	jobs, err := kubernetes.New(ctx, kubernetes.Options{
		Client: client, Images: kubernetes.Images{Default: flags["llm-job-image"], Allowed: []string{flags["allowed-job-images"]}},
		Network:        kubernetes.Network{GatewayNamespace: flags["gateway-namespace"], GatewayLabels: labels, GatewayPort: 7444},
		GatewayAddress: flags["gateway-address"], GatewayCA: ca, OpenCommand: "%s",
	})
	if err != nil {
		t.Fatal(err)
	}
	sandboxes, err := kubernetessandbox.New(ctx, kubernetessandbox.Options{
		Client: client, GatewayAddress: flags["sandbox-gateway-address"], GatewayNamespace: flags["gateway-namespace"], GatewayLabels: labels,
		GatewayCA: ca, AgentImage: flags["sandboxd-image"], PidsLimit: kubernetessandbox.DefaultPidsLimit, OpenCommand: "%s",
		Resolve: func(context.Context, string) ([]string, error) { return []string{"10.96.0.7"}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); jobs.Wait(); sandboxes.Wait() })
	if err := jobs.Launch(ctx, launcher.Job{Name: "job", Spec: launcher.JobSpec{
		Namespace: namespace, Model: "claude", ModelUID: "uid", SecretName: "key", IdleTimeout: 5 * time.Minute, TurnsPerJob: 8,
	}}); err != nil {
		t.Fatal(err)
	}
	pod, err := sandboxes.Launch(ctx, launcher.PodSpec{
		Name: "one-12345678", Namespace: namespace, Owner: launcher.Owner{Kind: launcher.OwnerSandbox, Namespace: namespace, Name: "one", UID: "uid"},
		Image: "registry.example.org/python:3.11", Language: "python", Version: "3.11", SecurityLevel: llmsafespacev1.SecurityStandard,
		Resources: llmsafespacev1.Resources{
			CPU: ptr.To(resource.MustParse("500m")), Memory: ptr.To(resource.MustParse("512Mi")), EphemeralStorage: ptr.To(resource.MustParse("1Gi")),
		},
		Storage:    &llmsafespacev1.Storage{Persistent: true, VolumeSize: ptr.To(resource.MustParse("5Gi"))},
		Filesystem: llmsafespacev1.Filesystem{ReadOnlyRoot: ptr.To(true), WritablePaths: []string{"/tmp", "/workspace"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := sandboxes.Open(ctx, pod, namespace, &llmsafespacev1.NetworkAccess{Ingress: true, Egress: []llmsafespacev1.NetworkRule{{CIDR: "192.0.2.0/24"}}}); err != nil {
		t.Fatal(err)
	}
	m := made{}
	if m.job, err = client.BatchV1().Jobs(namespace).Get(ctx, "job", metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	m.job.Spec.Template.Spec.DNSPolicy = corev1.DNSClusterFirst
	m.job.Spec.Template.Spec.SchedulerName = corev1.DefaultSchedulerName
	if m.pod, err = client.CoreV1().Pods(namespace).Get(ctx, "one-12345678", metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	m.pod.Spec.ServiceAccountName, m.pod.Spec.DeprecatedServiceAccount, m.pod.Spec.SchedulerName = "default", "default", corev1.DefaultSchedulerName
	list, err := client.NetworkingV1().NetworkPolicies(namespace).List(ctx, metav1.ListOptions{})
	if err != nil || len(list.Items) != 3 {
		t.Fatalf("the launchers made %d NetworkPolicies, %v; want one for the model, one for the namespace and one for the pod", len(list.Items), err)
	}
	m.policies = list.Items
	claims, err := client.CoreV1().PersistentVolumeClaims(namespace).List(ctx, metav1.ListOptions{})
	if err != nil || len(claims.Items) != 1 {
		t.Fatalf("the launcher made %d claims, %v", len(claims.Items), err)
	}
	m.claim = &claims.Items[0]
	return m
}

func TestWhatTheControllerMakesIsLetThrough(t *testing.T) {
	t.Parallel()
	p, made := start(t), launch(t)
	p.allows("the Job", request{operation: admission.Create, object: made.job})
	p.allows("the end of the Job", request{operation: admission.Delete, old: made.job})
	p.allows("the pod", request{operation: admission.Create, object: made.pod})
	p.allows("the end of the pod", request{operation: admission.Delete, old: made.pod})
	p.allows("the volume", request{operation: admission.Create, object: made.claim})
	p.allows("the end of the volume", request{operation: admission.Delete, old: made.claim})
	for i := range made.policies {
		policy := &made.policies[i]
		p.allows("NetworkPolicy "+policy.Name, request{operation: admission.Create, object: policy})
		p.allows("its change", request{operation: admission.Update, object: policy, old: policy})
		p.allows("its end", request{operation: admission.Delete, old: policy})
	}
	high := made.pod.DeepCopy()
	high.Spec.RuntimeClassName, high.Spec.HostUsers = ptr.To("gvisor"), ptr.To(false)
	p.allows("a pod in gVisor", request{operation: admission.Create, object: high})
	pulled := made.pod.DeepCopy() // by the ServiceAccount
	pulled.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "registry"}}
	p.allows("a pod of a namespace with its own registry", request{operation: admission.Create, object: pulled})
}

// The image of an LLM job reads a Secret and knows how to send it: what runs, to
// whom it talks and what it is given is all that holds it.
func TestAJobOfATakenControllerIsNothingButOurs(t *testing.T) {
	t.Parallel()
	p, made := start(t), launch(t)
	for name, c := range map[string]struct {
		want   string
		change func(job *batchv1.Job, pod *corev1.PodSpec, container *corev1.Container)
	}{
		"nobody's": {"belongs to one TightbeamModel", func(j *batchv1.Job, _ *corev1.PodSpec, _ *corev1.Container) { j.OwnerReferences = nil }},
		"without the label that closes its network": {"labels that the NetworkPolicy", func(j *batchv1.Job, _ *corev1.PodSpec, _ *corev1.Container) {
			delete(j.Spec.Template.Labels, "tightbeam.dev/type")
		}},
		"a second container": {"one container", func(_ *batchv1.Job, p *corev1.PodSpec, c *corev1.Container) { p.Containers = append(p.Containers, *c) }},
		"an init container": {"one container", func(_ *batchv1.Job, p *corev1.PodSpec, c *corev1.Container) {
			p.InitContainers = []corev1.Container{*c}
		}},
		"another image": {"the image is none", func(_ *batchv1.Job, _ *corev1.PodSpec, c *corev1.Container) {
			c.Image = "localhost/safebeam-llm-job-evil:dev"
		}},
		"a command":    {"run as it is", func(_ *batchv1.Job, _ *corev1.PodSpec, c *corev1.Container) { c.Command = []string{"/cat"} }},
		"another flag": {"run as it is", func(_ *batchv1.Job, _ *corev1.PodSpec, c *corev1.Container) { c.Args = append(c.Args, "--proxy=evil") }},
		"a probe that runs a command": {"run as it is", func(_ *batchv1.Job, _ *corev1.PodSpec, c *corev1.Container) {
			c.LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"/safebeam-llm-job"}}}}
		}},
		"a probe of the node's network": {"run as it is", func(_ *batchv1.Job, _ *corev1.PodSpec, c *corev1.Container) {
			c.StartupProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Host: "169.254.169.254"}}}
		}},
		"a port of the node": {"run as it is", func(_ *batchv1.Job, _ *corev1.PodSpec, c *corev1.Container) {
			c.Ports = []corev1.ContainerPort{{HostPort: 80, ContainerPort: 80}}
		}},
		"a hook":          {"run as it is", func(_ *batchv1.Job, _ *corev1.PodSpec, c *corev1.Container) { c.Lifecycle = &corev1.Lifecycle{} }},
		"another gateway": {"environment names the gateway", func(_ *batchv1.Job, _ *corev1.PodSpec, c *corev1.Container) { c.Env[0].Value = "evil.example.com:443" }},
		"a proxy": {"environment names the gateway", func(_ *batchv1.Job, _ *corev1.PodSpec, c *corev1.Container) {
			c.Env = append(c.Env, corev1.EnvVar{Name: "HTTPS_PROXY", Value: "http://evil"})
		}},
		"a Secret in the environment": {"run as it is", func(_ *batchv1.Job, _ *corev1.PodSpec, c *corev1.Container) {
			c.EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{}}}
		}},
		"another address for the gateway": {"means what it means", func(_ *batchv1.Job, p *corev1.PodSpec, _ *corev1.Container) {
			p.HostAliases = []corev1.HostAlias{{IP: "192.0.2.1", Hostnames: []string{"safebeam-gateway.safebeam-system.svc"}}}
		}},
		"another resolver": {"means what it means", func(_ *batchv1.Job, p *corev1.PodSpec, _ *corev1.Container) {
			p.DNSPolicy, p.DNSConfig = corev1.DNSNone, &corev1.PodDNSConfig{Nameservers: []string{"192.0.2.1"}}
		}},
		"the node's resolver": {"means what it means", func(_ *batchv1.Job, p *corev1.PodSpec, _ *corev1.Container) { p.DNSPolicy = corev1.DNSDefault }},
		"the gateway's name": {"means what it means", func(_ *batchv1.Job, p *corev1.PodSpec, _ *corev1.Container) {
			p.HostnameOverride = ptr.To("safebeam-gateway.safebeam-system.svc")
		}},
		"a second Secret": {"nothing else", func(_ *batchv1.Job, p *corev1.PodSpec, _ *corev1.Container) {
			p.Volumes = append(p.Volumes, secret("more"))
		}},
		"a Secret among others": {"nothing else", func(_ *batchv1.Job, p *corev1.PodSpec, _ *corev1.Container) {
			p.Volumes[0].Projected.Sources = append(p.Volumes[0].Projected.Sources, corev1.VolumeProjection{Secret: &corev1.SecretProjection{}})
		}},
		"a path of the node": {"nothing else", func(_ *batchv1.Job, p *corev1.PodSpec, _ *corev1.Container) {
			p.Volumes = append(p.Volumes, hostPath())
		}},
		"a token of the cluster": {"nothing else", func(_ *batchv1.Job, p *corev1.PodSpec, _ *corev1.Container) {
			p.Volumes[0].Projected.Sources[0].ServiceAccountToken.Audience = ""
		}},
		"a Secret where others read": {"where an LLM job reads", func(_ *batchv1.Job, _ *corev1.PodSpec, c *corev1.Container) {
			c.VolumeMounts[1].MountPath = "/etc/ssl/certs"
		}},
		"the credentials of a registry": {"no token of the cluster", func(_ *batchv1.Job, p *corev1.PodSpec, _ *corev1.Container) {
			p.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "registry"}}
		}},
		"a ServiceAccount that a cloud knows": {"no token of the cluster", func(_ *batchv1.Job, p *corev1.PodSpec, _ *corev1.Container) { p.ServiceAccountName = "builder" }},
		"a mounted token":                     {"no token of the cluster", func(_ *batchv1.Job, p *corev1.PodSpec, _ *corev1.Container) { p.AutomountServiceAccountToken = nil }},
		"the node's network":                  {"nothing with their node", func(_ *batchv1.Job, p *corev1.PodSpec, _ *corev1.Container) { p.HostNetwork = true }},
		"one node":                            {"nothing with their node", func(_ *batchv1.Job, p *corev1.PodSpec, _ *corev1.Container) { p.NodeName = "control-plane" }},
		"a device": {"nothing with their node", func(_ *batchv1.Job, p *corev1.PodSpec, _ *corev1.Container) {
			p.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu"}}
		}},
		"above the cluster's own": {"nothing with their node", func(_ *batchv1.Job, p *corev1.PodSpec, _ *corev1.Container) {
			p.PriorityClassName = "system-node-critical"
		}},
		"root": {"are restricted", func(_ *batchv1.Job, p *corev1.PodSpec, _ *corev1.Container) {
			p.SecurityContext.RunAsUser = ptr.To[int64](0)
		}},
		"root, says the container": {"are restricted", func(_ *batchv1.Job, _ *corev1.PodSpec, c *corev1.Container) {
			c.SecurityContext.RunAsUser = ptr.To[int64](0)
		}},
		"maybe root, says the container": {"are restricted", func(_ *batchv1.Job, _ *corev1.PodSpec, c *corev1.Container) {
			c.SecurityContext.RunAsNonRoot = ptr.To(false)
		}},
		"every system call": {"are restricted", func(_ *batchv1.Job, p *corev1.PodSpec, _ *corev1.Container) {
			p.SecurityContext.SeccompProfile.Type = corev1.SeccompProfileTypeUnconfined
		}},
		"every system call, says the container": {"are restricted", func(_ *batchv1.Job, _ *corev1.PodSpec, c *corev1.Container) {
			c.SecurityContext.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeUnconfined}
		}},
		"an SELinux type": {"are restricted", func(_ *batchv1.Job, _ *corev1.PodSpec, c *corev1.Container) {
			c.SecurityContext.SELinuxOptions = &corev1.SELinuxOptions{Type: "spc_t"}
		}},
		"no AppArmor": {"are restricted", func(_ *batchv1.Job, p *corev1.PodSpec, _ *corev1.Container) {
			p.SecurityContext.AppArmorProfile = &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined}
		}},
		"all of /proc": {"are restricted", func(_ *batchv1.Job, _ *corev1.PodSpec, c *corev1.Container) {
			c.SecurityContext.ProcMount = ptr.To(corev1.UnmaskedProcMount)
		}},
		"privileged": {"are restricted", func(_ *batchv1.Job, _ *corev1.PodSpec, c *corev1.Container) {
			c.SecurityContext.Privileged = ptr.To(true)
		}},
		"a capability": {"are restricted", func(_ *batchv1.Job, _ *corev1.PodSpec, c *corev1.Container) {
			c.SecurityContext.Capabilities.Add = []corev1.Capability{"SYS_PTRACE"}
		}},
		"a system knob": {"are restricted", func(_ *batchv1.Job, p *corev1.PodSpec, _ *corev1.Container) {
			p.SecurityContext.Sysctls = []corev1.Sysctl{{Name: "kernel.core_pattern"}}
		}},
	} {
		job := made.job.DeepCopy()
		c.change(job, &job.Spec.Template.Spec, &job.Spec.Template.Spec.Containers[0])
		p.refuses(name, c.want, request{operation: admission.Create, object: job})
		p.refuses(name+", later", c.want, request{operation: admission.Update, object: job, old: made.job})
	}
	p.refuses("a CronJob", "runs Jobs and nothing else", request{operation: admission.Create, object: &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: "c", Namespace: namespace, OwnerReferences: made.job.OwnerReferences},
	}})
}

func secret(name string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: name}}}
}

func hostPath() corev1.Volume {
	return corev1.Volume{Name: "node", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/etc"}}}
}

func TestAPodOfATakenControllerIsASandbox(t *testing.T) {
	t.Parallel()
	p, made := start(t), launch(t)
	for name, c := range map[string]struct {
		want   string
		change func(pod *corev1.Pod, container *corev1.Container)
	}{
		"nobody's": {"belongs to one Sandbox", func(p *corev1.Pod, _ *corev1.Container) { p.OwnerReferences = nil }},
		"without the label that closes its network": {"label that the NetworkPolicy", func(p *corev1.Pod, _ *corev1.Container) { delete(p.Labels, "llmsafespace.dev/type") }},
		"no sandboxd":      {"what runs in a pod is sandboxd", func(_ *corev1.Pod, c *corev1.Container) { c.Command = []string{"/bin/sh"} }},
		"another sandboxd": {"sandboxd comes from its image", func(p *corev1.Pod, _ *corev1.Container) { p.Spec.InitContainers[0].Image = "evil:1" }},
		"another gateway": {"what runs in a pod is sandboxd", func(_ *corev1.Pod, c *corev1.Container) {
			c.Args[1] = "--server-name=evil.example.com"
		}},
		"a second container": {"one container", func(p *corev1.Pod, c *corev1.Container) { p.Spec.Containers = append(p.Spec.Containers, *c) }},
		"a Secret":           {"nothing else", func(p *corev1.Pod, _ *corev1.Container) { p.Spec.Volumes = append(p.Spec.Volumes, secret("key")) }},
		"a path of the node": {"nothing else", func(p *corev1.Pod, _ *corev1.Container) { p.Spec.Volumes = append(p.Spec.Volumes, hostPath()) }},
		"somebody's volume": {"nothing else", func(p *corev1.Pod, _ *corev1.Container) {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "db", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "db"}}})
		}},
		"a Secret in the environment": {"no environment", func(_ *corev1.Pod, c *corev1.Container) {
			c.Env = []corev1.EnvVar{{Name: "KEY", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{}}}}
		}},
		"a probe of the node's network": {"no environment, ports, hooks, probes", func(_ *corev1.Pod, c *corev1.Container) {
			c.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Host: "169.254.169.254"}}}
		}},
		"no limits":       {"containers have limits", func(_ *corev1.Pod, c *corev1.Container) { c.Resources.Limits = nil }},
		"another address": {"nothing with their node", func(p *corev1.Pod, _ *corev1.Container) { p.Spec.HostAliases = []corev1.HostAlias{{IP: "192.0.2.1"}} }},
		"another account": {"no token of the cluster", func(p *corev1.Pod, _ *corev1.Container) { p.Spec.ServiceAccountName = "builder" }},
		"the node's PIDs": {"nothing with their node", func(p *corev1.Pod, _ *corev1.Container) { p.Spec.HostPID = true }},
		"one node":        {"nothing with their node", func(p *corev1.Pod, _ *corev1.Container) { p.Spec.NodeName = "control-plane" }},
		"a device": {"nothing with their node", func(p *corev1.Pod, _ *corev1.Container) {
			p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu"}}
		}},
		"root":                {"are restricted", func(p *corev1.Pod, _ *corev1.Container) { p.Spec.SecurityContext.RunAsUser = ptr.To[int64](0) }},
		"root, the container": {"are restricted", func(_ *corev1.Pod, c *corev1.Container) { c.SecurityContext.RunAsUser = ptr.To[int64](0) }},
		"no AppArmor": {"are restricted", func(p *corev1.Pod, _ *corev1.Container) {
			p.Spec.SecurityContext.AppArmorProfile = &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined}
		}},
		"an SELinux type": {"are restricted", func(p *corev1.Pod, _ *corev1.Container) {
			p.Spec.SecurityContext.SELinuxOptions = &corev1.SELinuxOptions{Type: "spc_t"}
		}},
		"a process of the host": {"are restricted", func(_ *corev1.Pod, c *corev1.Container) {
			c.SecurityContext.WindowsOptions = &corev1.WindowsSecurityContextOptions{HostProcess: ptr.To(true)}
		}},
		"privileged": {"are restricted", func(_ *corev1.Pod, c *corev1.Container) { c.SecurityContext.Privileged = ptr.To(true) }},
	} {
		pod := made.pod.DeepCopy()
		c.change(pod, &pod.Spec.Containers[0])
		p.refuses(name, c.want, request{operation: admission.Create, object: pod})
	}
}

// The rights of the controller in an open namespace are on kinds; what of a kind
// is its own, its labels say.
func TestATakenControllerKeepsItsHandsOffWhatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	p, made := start(t), launch(t)
	theirs := metav1.ObjectMeta{Name: "sandbox-db", Namespace: namespace, Labels: map[string]string{"app": "db"}}
	const notOurs = "labels of its sandboxes or LLM jobs"
	p.refuses("to end a pod", notOurs, request{operation: admission.Delete, old: &corev1.Pod{ObjectMeta: theirs}})
	p.refuses("to end a Job", notOurs, request{operation: admission.Delete, old: &batchv1.Job{ObjectMeta: theirs}})
	p.refuses("to end a volume", notOurs, request{operation: admission.Delete, old: &corev1.PersistentVolumeClaim{ObjectMeta: theirs}})
	p.refuses("to end a NetworkPolicy", notOurs, request{operation: admission.Delete, old: &networkingv1.NetworkPolicy{ObjectMeta: theirs}})
	policy := &made.policies[0]
	p.refuses("to make a NetworkPolicy its own", notOurs, request{operation: admission.Update, object: policy, old: &networkingv1.NetworkPolicy{ObjectMeta: theirs}})
	for what, selector := range map[string]metav1.LabelSelector{
		"everything": {}, "somebody": {MatchLabels: map[string]string{"app": "db"}},
		"all that is no sandbox": {MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "llmsafespace.dev/type", Operator: metav1.LabelSelectorOpDoesNotExist}}},
	} {
		opening := policy.DeepCopy()
		opening.Spec.PodSelector = selector
		p.refuses("to open "+what, "for sandboxes or for LLM jobs", request{operation: admission.Create, object: opening})
		p.refuses("to open "+what+" later", "for sandboxes or for LLM jobs", request{operation: admission.Update, object: opening, old: policy})
	}
	for what, change := range map[string]func(*corev1.PersistentVolumeClaim){
		"copy a volume": func(c *corev1.PersistentVolumeClaim) {
			c.Spec.DataSource = &corev1.TypedLocalObjectReference{Kind: "PersistentVolumeClaim", Name: "db"}
		},
		"copy one from elsewhere": func(c *corev1.PersistentVolumeClaim) {
			c.Spec.DataSourceRef = &corev1.TypedObjectReference{Kind: "PersistentVolumeClaim", Name: "db", Namespace: ptr.To("other")}
		},
		"take one that was left": func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = "pv-of-db" },
		"look for one":           func(c *corev1.PersistentVolumeClaim) { c.Spec.Selector = &metav1.LabelSelector{} },
		"make one for others":    func(c *corev1.PersistentVolumeClaim) { c.Name = "db" },
	} {
		claim := made.claim.DeepCopy()
		change(claim)
		p.refuses("to "+what, "a volume is new and empty", request{operation: admission.Create, object: claim})
	}
}
