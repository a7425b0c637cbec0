// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetessandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/launcher"
)

const (
	fieldManager = "safebeam-controller"
	// unseen is how long a pod that we made is listed although no informer has
	// shown it: it was deleted in a gap of the watch.
	unseen = time.Minute
	// remembered is how long it is told how a pod ended that is gone.
	remembered = 10 * time.Minute
)

// ReasonNamespaceNotOpen: the namespace is not open to our pods.
const ReasonNamespaceNotOpen = "NamespaceNotOpen"

// Launcher runs sandbox pods as Pods.
type Launcher struct {
	options  Options
	gateway  *gatewayAddress
	port     int32
	pods     cache.SharedIndexInformer
	policies cache.SharedIndexInformer
	// informers end with the context that New was given.
	informers sync.WaitGroup

	mu       sync.Mutex
	handlers []func(launcher.Pod)
	// fresh are pods that no informer has shown yet.
	fresh map[cache.ObjectName]fresh
	// deleting are pods that we have deleted and that no informer has shown to be
	// gone, since when.
	deleting map[types.UID]time.Time
	// gone are pods that went by themselves, and how.
	gone map[cache.ObjectName]launcher.Pod
	// lost are the policies of single pods that somebody else deleted, closed those
	// that we delete.
	lost   map[cache.ObjectName]*networkingv1.NetworkPolicy
	closed map[cache.ObjectName]bool
	// stuck is why pods do not start, as far as events say.
	stuck map[types.UID]why
	// pulls are the images that cannot be had, and why.
	pulls  map[string]string
	images []func(image string)
}

type fresh struct {
	pod launcher.Pod
	at  time.Time
}

type why struct{ reason, message string }

var _ launcher.SandboxLauncher = &Launcher{}

// New watches pods and policies until ctx ends, and returns when it knows them.
func New(ctx context.Context, options Options) (*Launcher, error) {
	if err := options.Validate(); err != nil {
		return nil, err
	}
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	if options.Resolve == nil {
		options.Resolve = net.DefaultResolver.LookupHost
	}
	if options.ClusterDomain == "" {
		options.ClusterDomain = "cluster.local"
	}
	host, port, err := options.gateway()
	if err != nil {
		return nil, err
	}
	l := &Launcher{
		options: options, port: port, gateway: &gatewayAddress{host: host, resolve: options.Resolve, clock: options.Clock},
		fresh: map[cache.ObjectName]fresh{}, deleting: map[types.UID]time.Time{}, gone: map[cache.ObjectName]launcher.Pod{}, stuck: map[types.UID]why{},
		lost: map[cache.ObjectName]*networkingv1.NetworkPolicy{}, closed: map[cache.ObjectName]bool{}, pulls: map[string]string{},
	}
	return l, l.watch(ctx)
}

// OnChange has changed called for every pod that changes.
func (l *Launcher) OnChange(changed func(launcher.Pod)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.handlers = append(l.handlers, changed)
}

func (l *Launcher) changed(pod launcher.Pod) {
	l.mu.Lock()
	handlers := l.handlers
	l.mu.Unlock()
	for _, handler := range handlers {
		handler(pod)
	}
}

// Launch closes the namespace's sandbox pods in and creates the Pod.
func (l *Launcher) Launch(ctx context.Context, spec launcher.PodSpec) (launcher.Pod, error) {
	name := cache.ObjectName{Namespace: spec.Namespace, Name: spec.Name}
	if pod, ok := l.Pod(name.Namespace, name.Name); ok && pod.Phase != launcher.PodGone {
		return pod, sameOwner(pod, spec)
	}
	ca := l.options.GatewayCA()
	if len(ca) == 0 {
		return launcher.Pod{}, errors.New("the gateway's certificate authority is not known yet")
	}
	address, err := l.gateway.get(ctx)
	if err != nil {
		return launcher.Pod{}, err
	}
	if err := l.checkRuntimeClass(ctx, spec); err != nil {
		return launcher.Pod{}, err
	}
	if err := l.ensurePolicy(ctx, l.options.closing(spec.Namespace, l.port)); err != nil {
		return launcher.Pod{}, l.explain(spec, "NetworkPolicy of sandboxes", err)
	}
	if err := l.ensureClaim(ctx, spec); err != nil {
		return launcher.Pod{}, l.explain(spec, "volume", err)
	}
	wanted := template{
		gatewayIP: address, gatewayHost: l.gateway.host, gatewayPort: l.port, gatewayCA: ca,
		agentImage: l.options.AgentImage, runtimeClass: l.options.RuntimeClass, userNamespaces: l.options.UserNamespaces, pidsLimit: l.options.PidsLimit,
	}.pod(spec)
	pods := l.options.Client.CoreV1().Pods(spec.Namespace)
	made, err := pods.Create(ctx, wanted, metav1.CreateOptions{FieldManager: fieldManager})
	if apierrors.IsAlreadyExists(err) {
		made, err = pods.Get(ctx, spec.Name, metav1.GetOptions{})
	}
	if err != nil {
		return launcher.Pod{}, l.explain(spec, "pod", err)
	}
	pod := l.observe(made)
	if err := sameOwner(pod, spec); err != nil {
		return launcher.Pod{}, err
	}
	l.mu.Lock()
	l.fresh[name] = fresh{pod, l.options.Clock.Now()}
	delete(l.gone, name)
	l.mu.Unlock()
	return pod, nil
}

func sameOwner(pod launcher.Pod, spec launcher.PodSpec) error {
	if pod.Owner.UID != spec.Owner.UID {
		return fmt.Errorf("launching sandbox pod %s/%s: there is one of that name, made for %s %s/%s", spec.Namespace, spec.Name, pod.Owner.Kind, pod.Owner.Namespace, pod.Owner.Name)
	}
	return nil
}

// checkRuntimeClass refuses high where the cluster does not have it.
func (l *Launcher) checkRuntimeClass(ctx context.Context, spec launcher.PodSpec) error {
	if spec.SecurityLevel != llmsafespacev1.SecurityHigh {
		return nil
	}
	_, err := l.options.Client.NodeV1().RuntimeClasses().Get(ctx, l.options.RuntimeClass, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return &launcher.Refusal{
			Reason:  launcher.ReasonRuntimeClassNotFound,
			Message: fmt.Sprintf("securityLevel high runs in RuntimeClass %q, which this cluster does not have: install gVisor, or name another one with --sandbox-runtime-class", l.options.RuntimeClass),
		}
	}
	if err != nil {
		return fmt.Errorf("looking for RuntimeClass %q: %w", l.options.RuntimeClass, err)
	}
	return nil
}

// ensureClaim makes the volume of a sandbox that asks for one. It leaves with the
// sandbox, not with the pod.
func (l *Launcher) ensureClaim(ctx context.Context, spec launcher.PodSpec) error {
	if !persistent(spec) {
		return nil
	}
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{
			Name: claimName(spec.Owner), Namespace: spec.Namespace,
			Labels:          map[string]string{LabelType: TypeSandbox, LabelOwner: string(spec.Owner.UID)},
			OwnerReferences: []metav1.OwnerReference{ownerReference(spec.Owner)},
		},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: *spec.Storage.VolumeSize}},
		},
	}
	if l.options.StorageClass != "" {
		claim.Spec.StorageClassName = ptr.To(l.options.StorageClass)
	}
	_, err := l.options.Client.CoreV1().PersistentVolumeClaims(spec.Namespace).Create(ctx, claim, metav1.CreateOptions{FieldManager: fieldManager})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// explain makes a refused write one that somebody can act on.
func (l *Launcher) explain(spec launcher.PodSpec, what string, err error) error {
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
	case apierrors.IsForbidden(err) && (strings.Contains(err.Error(), "exceeded quota") || strings.Contains(err.Error(), "LimitRange") || strings.Contains(err.Error(), "maximum ") || strings.Contains(err.Error(), "minimum ")):
		return &launcher.Refusal{Reason: launcher.ReasonQuotaExceeded, Message: fmt.Sprintf("namespace %q has no room for the %s: %v", spec.Namespace, what, err)}
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "cannot "):
		return &launcher.Refusal{
			Reason:  ReasonNamespaceNotOpen,
			Message: fmt.Sprintf("the controller may not make the %s; if namespace %q is not open to sandboxes yet, run: "+l.options.OpenCommand+" (%v)", what, spec.Namespace, spec.Namespace, err),
		}
	case apierrors.IsForbidden(err) || apierrors.IsInvalid(err):
		return &launcher.Refusal{Reason: launcher.ReasonPodForbidden, Message: fmt.Sprintf("the cluster refuses the %s: %v", what, err)}
	}
	return fmt.Errorf("making the %s of %s %s/%s: %w", what, spec.Owner.Kind, spec.Owner.Namespace, spec.Owner.Name, err)
}

// Delete deletes the Pod. It is seen as stopping until its node has said that it
// is gone.
func (l *Launcher) Delete(ctx context.Context, namespace, name string, uid types.UID) error {
	key := cache.ObjectName{Namespace: namespace, Name: name}
	options := metav1.DeleteOptions{}
	if uid == "" {
		if pod, ok := l.Pod(namespace, name); ok {
			uid = pod.UID
		}
	}
	l.mu.Lock()
	delete(l.gone, key)
	if uid != "" {
		options.Preconditions = metav1.NewUIDPreconditions(string(uid))
		l.deleting[uid] = l.options.Clock.Now()
	}
	l.mu.Unlock()
	err := l.options.Client.CoreV1().Pods(namespace).Delete(ctx, name, options)
	if err == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		// Not there, or another one has its name; the informer may not have shown
		// that yet.
		delete(l.fresh, key)
		return nil
	}
	delete(l.deleting, uid)
	return err
}

// Release removes the volume of a sandbox.
func (l *Launcher) Release(ctx context.Context, owner launcher.Owner) error {
	claims := l.options.Client.CoreV1().PersistentVolumeClaims(owner.Namespace)
	err := claims.Delete(ctx, claimName(owner), metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return nil // a namespace that was never open has none
	}
	return err
}

// Pod gives one pod.
func (l *Launcher) Pod(namespace, name string) (launcher.Pod, bool) {
	key := cache.ObjectName{Namespace: namespace, Name: name}
	obj, exists, err := l.pods.GetStore().GetByKey(key.String())
	if err == nil && exists {
		pod := obj.(*corev1.Pod)
		if _, ours := ownerOf(pod); ours {
			return l.observe(pod), true
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if f, ok := l.fresh[key]; ok {
		if l.options.Clock.Since(f.at) <= unseen {
			return f.pod, true
		}
		delete(l.fresh, key)
	}
	pod, ok := l.gone[key]
	return pod, ok
}

// Pods gives all.
func (l *Launcher) Pods() []launcher.Pod {
	var pods []launcher.Pod
	seen := map[cache.ObjectName]bool{}
	for _, obj := range l.pods.GetStore().List() {
		pod := obj.(*corev1.Pod)
		if _, ours := ownerOf(pod); ours {
			seen[cache.MetaObjectToName(pod)] = true
			pods = append(pods, l.observe(pod))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, f := range l.fresh {
		if !seen[name] && l.options.Clock.Since(f.at) <= unseen {
			pods = append(pods, f.pod)
		}
	}
	return pods
}

// observe is a Pod as the loops see it, with what only we know.
func (l *Launcher) observe(pod *corev1.Pod) launcher.Pod {
	l.mu.Lock()
	_, deleting := l.deleting[pod.UID]
	stuck := l.stuck[pod.UID]
	l.mu.Unlock()
	seen := observe(pod, deleting)
	if seen.Phase == launcher.PodPending && seen.Reason == "" {
		seen.Reason, seen.Message = stuck.reason, stuck.message
	}
	if seen.IP != "" && strings.Contains(seen.IP, ".") {
		seen.Endpoint = strings.ReplaceAll(seen.IP, ".", "-") + "." + seen.Namespace + ".pod." + l.options.ClusterDomain
	}
	if l.options.UserNamespaces {
		return seen
	}
	seen.Notes = []string{fmt.Sprintf("PidsUnlimited: beside the kubelet's limit, sandboxd ends the guest near %d processes", l.options.PidsLimit)}
	return seen
}

// Wait waits for the watches that New started; its context must have ended.
func (l *Launcher) Wait() { l.informers.Wait() }

// Run looks after pods that do not start, and after our policies, until ctx ends.
// Pods go on.
func (l *Launcher) Run(ctx context.Context) error {
	ticker := l.options.Clock.NewTicker(lookPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
		l.tidy()
		l.keepPolicies(ctx)
		for _, obj := range l.pods.GetStore().List() {
			pod := obj.(*corev1.Pod)
			if err := l.lookAfter(ctx, pod); err != nil && ctx.Err() == nil {
				klog.FromContext(ctx).Error(err, "Cannot tell why a pod does not start", "pod", klog.KObj(pod))
			}
		}
	}
}
