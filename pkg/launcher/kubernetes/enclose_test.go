// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"safebeam.dev/safebeam/pkg/launcher"
)

var claude = cache.ObjectName{Namespace: "ns", Name: "claude"}

const policyName = "tightbeam-llm-claude"

// cluster is an API server with a launcher beside it, and a controller that closes
// the jobs of the model in whenever it is told to look at it.
type cluster struct {
	t      *testing.T
	client *fake.Clientset
	*Launcher
	// model has the uid of the model as it is now, empty for none.
	model chan types.UID
}

func begin(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, client: fake.NewClientset(), model: make(chan types.UID, 1)}
	c.model <- spec.ModelUID
	c.client.PrependReactor("create", "jobs", func(action clienttesting.Action) (bool, runtime.Object, error) {
		job := action.(clienttesting.CreateAction).GetObject().(*batchv1.Job)
		job.UID = types.UID("uid-of-" + job.Name)
		return false, nil, nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	var err error
	c.Launcher, err = New(ctx, Options{
		Client: c.client, Images: Images{Default: "llm:1", Allowed: []string{"llm:1"}}, GatewayAddress: "gateway:7444",
		GatewayCA: func() []byte { return []byte("CA") }, Network: Network{GatewayNamespace: "safebeam-system", GatewayPort: 7444}, OpenCommand: "open %s",
	})
	if err != nil {
		t.Fatal(err)
	}
	look := make(chan cache.ObjectName, 1000)
	c.Notify(func(model cache.ObjectName) { look <- model })
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		for {
			select {
			case <-ctx.Done():
				return
			case model := <-look:
				uid := <-c.model
				err := c.Enclose(ctx, model, uid)
				c.model <- uid
				if apierrors.IsConflict(err) || apierrors.IsNotFound(err) || apierrors.IsAlreadyExists(err) {
					look <- model
				} else if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-looked; c.Wait() })
	return c
}

// becomes is what the model is replaced by.
func (c *cluster) becomes(uid types.UID) {
	<-c.model
	c.model <- uid
}

func (c *cluster) launch(spec launcher.JobSpec) *corev1.Pod {
	c.t.Helper()
	what := launcher.Job{Name: launcher.NewJobName(spec.Model), Spec: spec}
	if err := c.Launch(c.t.Context(), what); err != nil {
		c.t.Fatal(err)
	}
	pod, err := c.client.CoreV1().Pods("ns").Create(c.t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: what.Name + "-pod", Namespace: "ns", UID: types.UID("uid-of-the-pod-of-" + what.Name), Labels: labelsOf(spec),
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "batch/v1", Kind: "Job", Name: what.Name, UID: types.UID("uid-of-" + what.Name), Controller: ptr.To(true),
			}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}, metav1.CreateOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	c.eventually("the informers know all", func() bool {
		_, podKnown, _ := c.pods.GetStore().GetByKey("ns/" + pod.Name)
		_, jobKnown, _ := c.jobs.GetStore().GetByKey("ns/" + what.Name)
		return podKnown && jobKnown && c.knowsPolicy()
	})
	return pod
}

func (c *cluster) knowsPolicy() bool {
	_, known, _ := c.policies.GetStore().GetByKey("ns/" + policyName)
	return known
}

// policy is what there is, nil if there is none.
func (c *cluster) policy() *networkingv1.NetworkPolicy {
	c.t.Helper()
	policy, err := c.client.NetworkingV1().NetworkPolicies("ns").Get(c.t.Context(), policyName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return policy
}

func (c *cluster) deletePolicy() {
	c.t.Helper()
	if err := c.client.NetworkingV1().NetworkPolicies("ns").Delete(c.t.Context(), policyName, metav1.DeleteOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) deleteJobOf(pod *corev1.Pod) {
	c.t.Helper()
	name := pod.OwnerReferences[0].Name
	if err := c.client.BatchV1().Jobs("ns").Delete(c.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		c.t.Fatal(err)
	}
	c.eventually("the Job is gone", func() bool {
		_, known, _ := c.jobs.GetStore().GetByKey("ns/" + name)
		return !known
	})
}

func (c *cluster) eventually(what string, is func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("never: %s", what)
		}
	}
}

func TestThePolicyOfRunningJobsIsPutRight(t *testing.T) {
	t.Parallel()
	for name, touch := range map[string]func(*cluster){
		"deleted": func(c *cluster) { c.deletePolicy() },
		"opened": func(c *cluster) {
			policy := c.policy()
			policy.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{}}
			if _, err := c.client.NetworkingV1().NetworkPolicies("ns").Update(t.Context(), policy, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := begin(t)
			c.launch(spec)
			// The second job has another way out, which is the one that counts.
			second := spec
			second.Egress = []networkingv1.NetworkPolicyEgressRule{}
			c.launch(second)
			wanted := c.options.Network.networkPolicy(second)
			touch(c)
			c.eventually("the policy is as it was", func() bool {
				policy := c.policy()
				return policy != nil && reflect.DeepEqual(policy.Spec, wanted.Spec) && reflect.DeepEqual(policy.OwnerReferences, wanted.OwnerReferences)
			})
		})
	}
}

func TestPodsStayClosedInWhenTheirModelIsGone(t *testing.T) {
	t.Parallel()
	for name, withTheirJob := range map[string]bool{"and their Job is still there": true, "and so is their Job": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := begin(t)
			pod := c.launch(spec)
			was := c.policy()
			c.becomes("")
			if !withTheirJob {
				c.deleteJobOf(pod)
			}
			c.deletePolicy() // by the garbage collector
			c.eventually("the policy is the pod's", func() bool {
				policy := c.policy()
				return policy != nil && reflect.DeepEqual(policy.Spec, was.Spec) &&
					len(policy.OwnerReferences) == 1 && policy.OwnerReferences[0].UID == pod.UID && metav1.GetControllerOf(policy) == nil
			})
			if withTheirJob {
				c.deleteJobOf(pod)
			}

			// A new model of that name takes it over.
			c.eventually("the policy is known", c.knowsPolicy)
			again := spec
			again.ModelUID = "another uid"
			c.becomes(again.ModelUID)
			c.launch(again)
			if owner := metav1.GetControllerOf(c.policy()); owner == nil || owner.UID != again.ModelUID {
				t.Errorf("the policy is owned by %+v", c.policy().OwnerReferences)
			}
		})
	}
}

func TestThePolicyOfPodsThatAreGoneIsNotMadeAgain(t *testing.T) {
	t.Parallel()
	c := begin(t)
	pod := c.launch(spec)
	c.becomes("")
	c.deleteJobOf(pod)
	if err := c.client.CoreV1().Pods("ns").Delete(t.Context(), pod.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.eventually("the pod is gone", func() bool {
		_, known, _ := c.pods.GetStore().GetByKey("ns/" + pod.Name)
		return !known
	})
	c.deletePolicy()
	c.eventually("it is forgotten", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.lost) == 0 && !c.knowsPolicy()
	})
	if err := c.Enclose(t.Context(), claude, ""); err != nil || c.policy() != nil {
		t.Errorf("%+v, %v", c.policy(), err)
	}
}

func TestSomebodysPolicyOfTheSameNameIsNotTouched(t *testing.T) {
	t.Parallel()
	c := begin(t)
	theirs := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: policyName, Namespace: "ns", Labels: map[string]string{"app": "theirs"}}}
	if _, err := c.client.NetworkingV1().NetworkPolicies("ns").Create(t.Context(), theirs, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	err := c.Launch(t.Context(), launcher.Job{Name: launcher.NewJobName("claude"), Spec: spec})
	if err == nil || !strings.Contains(err.Error(), `"tightbeam-llm-claude" that is not the model's: remove it`) {
		t.Errorf("launched beside it: %v", err)
	}
	if policy := c.policy(); !reflect.DeepEqual(policy.Labels, theirs.Labels) || policy.Spec.Egress != nil {
		t.Errorf("it was changed: %+v", policy)
	}
}
