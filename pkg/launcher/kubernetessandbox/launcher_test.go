// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetessandbox

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
	llmsafespacev1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/launcher"
)

type world struct {
	t      *testing.T
	client *fake.Clientset
	*Launcher
	changes chan launcher.Pod
}

func begin(t *testing.T, objects ...runtime.Object) *world {
	t.Helper()
	w := &world{t: t, client: fake.NewClientset(objects...), changes: make(chan launcher.Pod, 100)}
	// What an API server does with a pod.
	w.client.PrependReactor("create", "pods", func(action clienttesting.Action) (bool, runtime.Object, error) {
		pod := action.(clienttesting.CreateAction).GetObject().(*corev1.Pod)
		if pod.UID == "" {
			pod.UID = "pod-uid-of-" + "one"
		}
		return false, nil, nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	var err error
	w.Launcher, err = New(ctx, Options{
		Client: w.client, GatewayAddress: "gateway.safebeam.test:7445", GatewayNamespace: "safebeam-system", GatewayLabels: map[string]string{"app": "gateway"},
		GatewayCA: func() []byte { return []byte("CA") }, AgentImage: "sandboxd:1", RuntimeClass: "gvisor", PidsLimit: 512,
		OpenCommand: "open %s", Resolve: func(context.Context, string) ([]string, error) { return []string{"10.96.0.7"}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.OnChange(func(pod launcher.Pod) { w.changes <- pod })
	t.Cleanup(func() { cancel(); w.Wait() })
	return w
}

// until waits for a change of the pod into a phase.
func (w *world) until(phase launcher.PodPhase) launcher.Pod {
	w.t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		select {
		case pod := <-w.changes:
			if pod.Phase == phase {
				return pod
			}
		case <-timeout:
			w.t.Fatalf("no pod became %s", phase)
		}
	}
}

func (w *world) launch(change func(*launcher.PodSpec)) launcher.Pod {
	w.t.Helper()
	pod, err := w.Launch(w.t.Context(), specOf(change))
	if err != nil {
		w.t.Fatal(err)
	}
	return pod
}

func (w *world) verbs(resource string) (verbs []string) {
	for _, action := range w.client.Actions() {
		if action.GetResource().Resource == resource && action.GetVerb() != "list" && action.GetVerb() != "watch" {
			verbs = append(verbs, action.GetVerb())
		}
	}
	return verbs
}

func TestThePolicyIsThereBeforeTheFirstPodAndIsPutRight(t *testing.T) {
	t.Parallel()
	w := begin(t)
	pod := w.launch(nil)
	order := []string{}
	for _, action := range w.client.Actions() {
		if action.GetVerb() == "create" {
			order = append(order, action.GetResource().Resource)
		}
	}
	if len(order) != 2 || order[0] != "networkpolicies" || order[1] != "pods" {
		t.Errorf("made %v", order)
	}
	if known, ok := w.Pod("agents", "one-12345678"); !ok || known.UID != pod.UID || known.Owner.Name != "one" {
		t.Errorf("the pod is known as %+v, %v", known, ok)
	}
	// Somebody opens it.
	policies := w.client.NetworkingV1().NetworkPolicies("agents")
	policy, err := policies.Get(t.Context(), PolicyName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	policy.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
	if _, err := policies.Update(t.Context(), policy, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		obj, exists, _ := w.policies.GetStore().GetByKey("agents/" + PolicyName)
		if exists && len(obj.(*networkingv1.NetworkPolicy).Spec.PolicyTypes) == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the informer does not show the change")
		}
		time.Sleep(time.Millisecond)
	}
	w.launch(func(s *launcher.PodSpec) { s.Name, s.Owner.UID = "two", "uid-of-two" })
	policy, err = policies.Get(t.Context(), PolicyName, metav1.GetOptions{})
	if err != nil || len(policy.Spec.PolicyTypes) != 2 {
		t.Errorf("the next pod found the policy %+v, %v", policy.Spec, err)
	}
}

func TestLaunchIsIdempotentByNameAndOwner(t *testing.T) {
	t.Parallel()
	w := begin(t)
	first := w.launch(nil)
	if again := w.launch(nil); again.UID != first.UID {
		t.Errorf("launched again: %+v", again)
	}
	// A controller that has not seen it yet.
	w.mu.Lock()
	clear(w.fresh)
	w.mu.Unlock()
	if again := w.launch(nil); again.UID != first.UID {
		t.Errorf("launched a third time: %+v", again)
	}
	if _, err := w.Launch(t.Context(), specOf(func(s *launcher.PodSpec) { s.Owner.UID = "another" })); err == nil {
		t.Error("another owner got the pod")
	}
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	t.Parallel()
	forbidden := func(message string) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Reason: metav1.StatusReasonForbidden, Code: 403, Message: message}}
	}
	for _, tc := range []struct {
		name, reason string
		change       func(*launcher.PodSpec)
		err          error
	}{
		{"no RuntimeClass", launcher.ReasonRuntimeClassNotFound, func(s *launcher.PodSpec) { s.SecurityLevel = llmsafespacev1.SecurityHigh }, nil},
		{"a quota that is spent", launcher.ReasonQuotaExceeded, nil, forbidden(`pods "one" is forbidden: exceeded quota: q, requested: cpu=500m`)},
		{"a namespace that is not open", ReasonNamespaceNotOpen, nil, forbidden(`pods is forbidden: User "u" cannot create resource "pods"`)},
		{"an admission rule", launcher.ReasonPodForbidden, nil, forbidden(`violates PodSecurity "restricted:latest"`)},
		{"a pod that is not valid", launcher.ReasonPodForbidden, nil, apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "one", nil)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := begin(t)
			if tc.err != nil {
				w.client.PrependReactor("create", "pods", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, tc.err })
			}
			_, err := w.Launch(t.Context(), specOf(tc.change))
			var refusal *launcher.Refusal
			if !errors.As(err, &refusal) || refusal.Reason != tc.reason {
				t.Errorf("%v", err)
			}
			if _, known := w.Pod("agents", "one-12345678"); known {
				t.Error("a refused pod is known")
			}
		})
	}
}

func TestHighRunsWhereTheRuntimeClassIs(t *testing.T) {
	t.Parallel()
	w := begin(t, &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "gvisor"}, Handler: "runsc"})
	w.launch(func(s *launcher.PodSpec) { s.SecurityLevel = llmsafespacev1.SecurityHigh })
	pod, err := w.client.CoreV1().Pods("agents").Get(t.Context(), "one-12345678", metav1.GetOptions{})
	if err != nil || ptr.Deref(pod.Spec.RuntimeClassName, "") != "gvisor" {
		t.Errorf("%v, %v", pod.Spec.RuntimeClassName, err)
	}
}

func TestAVolumeOutlivesItsPodAndNotItsSandbox(t *testing.T) {
	t.Parallel()
	w := begin(t)
	pod := w.launch(func(s *launcher.PodSpec) {
		s.Storage = &llmsafespacev1.Storage{Persistent: true, VolumeSize: ptr.To(resource.MustParse("5Gi"))}
	})
	claims := w.client.CoreV1().PersistentVolumeClaims("agents")
	claim, err := claims.Get(t.Context(), "sandbox-uid-of-one", metav1.GetOptions{})
	if err != nil || claim.Spec.Resources.Requests.Storage().String() != "5Gi" || claim.OwnerReferences[0].Kind != "Sandbox" {
		t.Fatalf("%+v, %v", claim, err)
	}
	if err := w.Delete(t.Context(), pod.Namespace, pod.Name, pod.UID); err != nil {
		t.Fatal(err)
	}
	if _, err := claims.Get(t.Context(), claim.Name, metav1.GetOptions{}); err != nil {
		t.Errorf("the volume went with the pod: %v", err)
	}
	for range 2 {
		if err := w.Release(t.Context(), pod.Owner); err != nil {
			t.Error(err)
		}
	}
	if _, err := claims.Get(t.Context(), claim.Name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the volume outlives the sandbox: %v", err)
	}
}

func TestTheNetworkIsOpenedAndClosedAsAsked(t *testing.T) {
	t.Parallel()
	w := begin(t)
	pod := w.launch(nil)
	access := &llmsafespacev1.NetworkAccess{Egress: []llmsafespacev1.NetworkRule{{CIDR: "192.0.2.0/24"}}}
	for range 2 {
		if err := w.Open(t.Context(), pod, "agents", access); err != nil {
			t.Fatal(err)
		}
	}
	policy, err := w.client.NetworkingV1().NetworkPolicies("agents").Get(t.Context(), pod.Name, metav1.GetOptions{})
	if err != nil || policy.OwnerReferences[0].Kind != "Pod" || policy.OwnerReferences[0].UID != pod.UID {
		t.Fatalf("%+v, %v", policy, err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if err := w.Open(t.Context(), pod, "agents", nil); err != nil {
			t.Fatal(err)
		}
		if _, err := w.client.NetworkingV1().NetworkPolicies("agents").Get(t.Context(), pod.Name, metav1.GetOptions{}); apierrors.IsNotFound(err) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the policy stays")
		}
	}
}

func TestPoliciesThatSomebodyDeletesAreMadeAgain(t *testing.T) {
	t.Parallel()
	w := begin(t)
	pod := w.launch(nil)
	w.until(launcher.PodPending)
	access := &llmsafespacev1.NetworkAccess{Egress: []llmsafespacev1.NetworkRule{{CIDR: "192.0.2.0/24"}}}
	if err := w.Open(t.Context(), pod, "agents", access); err != nil {
		t.Fatal(err)
	}
	policies := w.client.NetworkingV1().NetworkPolicies("agents")
	opening, err := policies.Get(t.Context(), pod.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{PolicyName, pod.Name} {
		w.eventually("the policy "+name+" is known", func() bool { return w.knowsPolicy(name) })
		if err := policies.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		w.eventually("the policy "+name+" is there again", func() bool {
			w.keepPolicies(t.Context())
			_, err := policies.Get(t.Context(), name, metav1.GetOptions{})
			return err == nil
		})
	}
	again, err := policies.Get(t.Context(), pod.Name, metav1.GetOptions{})
	if err != nil || !reflect.DeepEqual(again.Spec, opening.Spec) || !reflect.DeepEqual(again.OwnerReferences, opening.OwnerReferences) {
		t.Errorf("made again as %+v, %v", again, err)
	}

	// One that we delete stays away.
	w.eventually("the policy is known", func() bool { return w.knowsPolicy(pod.Name) })
	if err := w.Open(t.Context(), pod, "agents", nil); err != nil {
		t.Fatal(err)
	}
	w.eventually("the policy is gone", func() bool { return !w.knowsPolicy(pod.Name) })
	w.eventually("its end is told", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.closed) == 0
	})
	w.keepPolicies(t.Context())
	if _, err := policies.Get(t.Context(), pod.Name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a closed pod is open again: %v", err)
	}
}

func TestThePolicyOfAPodThatWentIsNotMadeAgain(t *testing.T) {
	t.Parallel()
	w := begin(t)
	pod := w.launch(nil)
	access := &llmsafespacev1.NetworkAccess{Egress: []llmsafespacev1.NetworkRule{{CIDR: "192.0.2.0/24"}}}
	if err := w.Open(t.Context(), pod, "agents", access); err != nil {
		t.Fatal(err)
	}
	w.eventually("the policy is known", func() bool { return w.knowsPolicy(pod.Name) })
	if err := w.client.CoreV1().Pods("agents").Delete(t.Context(), pod.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.until(launcher.PodGone)
	if err := w.client.NetworkingV1().NetworkPolicies("agents").Delete(t.Context(), pod.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	lost := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.lost)
	}
	w.eventually("the loss is told", func() bool { return lost() == 1 })
	w.keepPolicies(t.Context())
	if _, err := w.client.NetworkingV1().NetworkPolicies("agents").Get(t.Context(), pod.Name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("it is there again: %v", err)
	}
	if lost() != 0 {
		t.Error("its loss is remembered")
	}
}

func (w *world) knowsPolicy(name string) bool {
	_, exists, _ := w.policies.GetStore().GetByKey("agents/" + name)
	return exists
}

func (w *world) eventually(what string, is func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("never: %s", what)
		}
	}
}

func TestAPodThatWentIsRememberedWithItsReason(t *testing.T) {
	t.Parallel()
	w := begin(t)
	w.launch(nil)
	w.until(launcher.PodPending)
	pods := w.client.CoreV1().Pods("agents")
	pod, err := pods.Get(t.Context(), "one-12345678", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "EvictionByEvictionAPI", Message: "drained"}}
	if _, err := pods.UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := pods.Delete(t.Context(), pod.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if gone := w.until(launcher.PodGone); gone.Reason != launcher.ReasonDrained {
		t.Errorf("told %+v", gone)
	}
	if gone, ok := w.Pod("agents", "one-12345678"); !ok || gone.Phase != launcher.PodGone || gone.Reason != launcher.ReasonDrained {
		t.Errorf("remembered %+v, %v", gone, ok)
	}
	if len(w.Pods()) != 0 {
		t.Errorf("listed %+v", w.Pods())
	}
}

func TestAPodThatWeDeleteIsNoLoss(t *testing.T) {
	t.Parallel()
	w := begin(t)
	pod := w.launch(nil)
	w.until(launcher.PodPending)
	for range 2 {
		if err := w.Delete(t.Context(), pod.Namespace, pod.Name, pod.UID); err != nil {
			t.Fatal(err)
		}
	}
	w.until(launcher.PodGone)
	if gone, ok := w.Pod("agents", pod.Name); ok {
		t.Errorf("remembered %+v", gone)
	}
	if verbs := w.verbs("pods"); len(verbs) == 0 || verbs[len(verbs)-1] != "delete" {
		t.Errorf("did %v", verbs)
	}
}
