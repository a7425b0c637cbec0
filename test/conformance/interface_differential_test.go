// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/apis/example"
	"k8s.io/apiserver/pkg/storage"
)

// outcome is what a caller of storage.Interface saw.
type outcome struct {
	Op        string
	Err       string
	RV        string
	Continue  string
	Remaining int64
	Pods      []string
}

// addresses of error values differ from run to run.
var addresses = regexp.MustCompile("0x[0-9a-f]+")

func describe(pod *example.Pod) string {
	return fmt.Sprintf("%s/%s@%s node=%s labels=%v uid=%s", pod.Namespace, pod.Name, pod.ResourceVersion, pod.Spec.NodeName, pod.Labels, pod.UID)
}

// errText is an error as a client sees it.
func errText(err error) string {
	if err == nil {
		return ""
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return fmt.Sprintf("%s %d %s", status.Status().Reason, status.Status().Code, status.Status().Message)
	}
	return addresses.ReplaceAllString(err.Error(), "0x")
}

type storeOperation func(ctx context.Context, s storage.Interface) outcome

// chooser picks operations of storage.Interface.
type chooser struct {
	random *rand.Rand
	// rvs are resource versions that were seen, tokens continue tokens.
	rvs, tokens []string
}

func (c *chooser) learn(o outcome) {
	if o.RV != "" {
		c.rvs = append(c.rvs, o.RV)
	}
	if o.Continue != "" {
		c.tokens = append(c.tokens, o.Continue)
	}
}

func (c *chooser) name() (namespace, name string) {
	return pick(c.random, "n1", "n2", "n10"), fmt.Sprintf("p%d", c.random.IntN(12))
}

func (c *chooser) rv() string {
	if len(c.rvs) == 0 {
		return ""
	}
	return c.rvs[max(0, len(c.rvs)-1-c.random.IntN(200))]
}

func (c *chooser) next() storeOperation {
	namespace, name := c.name()
	node := fmt.Sprintf("node%d", c.random.IntN(3))
	switch n := c.random.IntN(100); {
	case n < 30:
		return createPod(namespace, name, node)
	case n < 50:
		return updatePod(namespace, name, node, c.random.IntN(4) == 0, c.random.IntN(5) == 0)
	case n < 62:
		return deletePod(namespace, name, c.random.IntN(4) == 0)
	case n < 70:
		return getPod(namespace, name, pick(c.random, "", "0", c.rv()), c.random.IntN(3) == 0)
	default:
		return c.list()
	}
}

func (c *chooser) list() storeOperation {
	key := pick(c.random, podPrefix, podPrefix+"n1/", podPrefix+"n10/", podPrefix+"none/")
	opts := storage.ListOptions{Recursive: true, Predicate: storage.SelectionPredicate{
		Label: labels.Everything(), Field: fields.Everything(), GetAttrs: podAttrs,
		Limit: pick[int64](c.random, 0, 0, 1, 2, 5),
	}}
	switch c.random.IntN(4) {
	case 0:
		opts.Predicate.Label = labels.SelectorFromSet(labels.Set{"node": "node1"})
	case 1:
		opts.Predicate.Field = fields.OneTermEqualSelector("spec.nodeName", "node2")
	}
	switch n := c.random.IntN(10); {
	case n < 3 && len(c.tokens) > 0:
		opts.Predicate.Continue = c.tokens[max(0, len(c.tokens)-1-c.random.IntN(5))]
		key = podPrefix
	case n < 5:
		opts.ResourceVersion, opts.ResourceVersionMatch = c.rv(), metav1.ResourceVersionMatchExact
	case n < 6:
		opts.ResourceVersion, opts.ResourceVersionMatch = c.rv(), metav1.ResourceVersionMatchNotOlderThan
	case n < 7:
		opts.ResourceVersion = pick(c.random, "0", "1", "999999", c.rv())
	}
	return func(ctx context.Context, s storage.Interface) outcome {
		list := &example.PodList{}
		err := s.GetList(ctx, key, opts, list)
		o := outcome{
			Op: fmt.Sprintf("list %s rv=%s match=%s limit=%d continue=%s label=%v field=%v", key, opts.ResourceVersion,
				opts.ResourceVersionMatch, opts.Predicate.Limit, opts.Predicate.Continue, opts.Predicate.Label, opts.Predicate.Field),
			Err: errText(err),
		}
		if err == nil {
			o.RV, o.Continue = list.ResourceVersion, list.Continue
			if list.RemainingItemCount != nil {
				o.Remaining = *list.RemainingItemCount
			}
			for i := range list.Items {
				o.Pods = append(o.Pods, describe(&list.Items[i]))
			}
		}
		return o
	}
}

func one(op string, pod *example.Pod, err error) outcome {
	o := outcome{Op: op, Err: errText(err)}
	if err == nil {
		o.RV, o.Pods = pod.ResourceVersion, []string{describe(pod)}
	}
	return o
}

func podKey(namespace, name string) string { return podPrefix + namespace + "/" + name }

func createPod(namespace, name, node string) storeOperation {
	return func(ctx context.Context, s storage.Interface) outcome {
		out := &example.Pod{}
		err := s.Create(ctx, podKey(namespace, name), &example.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(name), Labels: map[string]string{"node": node}},
			Spec:       example.PodSpec{NodeName: node},
		}, out, 0)
		return one(fmt.Sprintf("create %s/%s", namespace, name), out, err)
	}
}

func updatePod(namespace, name, node string, ignoreNotFound, wrongUID bool) storeOperation {
	return func(ctx context.Context, s storage.Interface) outcome {
		out := &example.Pod{}
		var preconditions *storage.Preconditions
		if wrongUID {
			preconditions = storage.NewUIDPreconditions("another")
		}
		err := s.GuaranteedUpdate(ctx, podKey(namespace, name), out, ignoreNotFound, preconditions,
			storage.SimpleUpdate(func(o runtime.Object) (runtime.Object, error) {
				pod := o.(*example.Pod)
				pod.Namespace, pod.Name = namespace, name
				pod.Spec.NodeName, pod.Labels = node, map[string]string{"node": node}
				return pod, nil
			}), nil)
		return one(fmt.Sprintf("update %s/%s to %s", namespace, name, node), out, err)
	}
}

func deletePod(namespace, name string, wrongUID bool) storeOperation {
	return func(ctx context.Context, s storage.Interface) outcome {
		out := &example.Pod{}
		var preconditions *storage.Preconditions
		if wrongUID {
			preconditions = storage.NewUIDPreconditions("another")
		}
		err := s.Delete(ctx, podKey(namespace, name), out, preconditions, storage.ValidateAllObjectFunc, nil, storage.DeleteOptions{})
		return one(fmt.Sprintf("delete %s/%s", namespace, name), out, err)
	}
}

func getPod(namespace, name, rv string, ignoreNotFound bool) storeOperation {
	return func(ctx context.Context, s storage.Interface) outcome {
		out := &example.Pod{}
		err := s.Get(ctx, podKey(namespace, name), storage.GetOptions{ResourceVersion: rv, IgnoreNotFound: ignoreNotFound}, out)
		return one(fmt.Sprintf("get %s/%s rv=%s", namespace, name, rv), out, err)
	}
}

func TestOurStoreAnswersAsTheStoreOnEtcdDoes(t *testing.T) {
	random := newRandom(t)
	mine := newEnvOn(t, openBBolt(t, time.Hour), false, settings{}).store
	theirs := newEnvOn(t, openEtcd(t, time.Hour), false, settings{}).store
	c := &chooser{random: random}
	for n := range rounds(t, 2000) {
		op := c.next()
		got, want := op(t.Context(), mine), op(t.Context(), theirs)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("operation %d, %s: -etcd +ours\n%s", n, want.Op, diff)
		}
		c.learn(got)
	}
}

func TestTheWatchCacheAgreesWithTheStore(t *testing.T) {
	random := newRandom(t)
	// The checker compares list digests twice a second and panics if they
	// differ; see TestMain. This compares what it cannot: every consistent
	// list, right after a write.
	e := newEnv(t, ours, true, settings{indexed: true})
	c := &chooser{random: random}
	for n := range rounds(t, 3000) {
		c.learn(c.next()(t.Context(), e.raw))
		if n%10 != 0 {
			continue
		}
		key := pick(random, podPrefix, podPrefix+"n1/", podPrefix+"n10/")
		opts := storage.ListOptions{Recursive: true, Predicate: storage.Everything}
		cached, raw := &example.PodList{}, &example.PodList{}
		if err := errors.Join(e.store.GetList(t.Context(), key, opts, cached), e.raw.GetList(t.Context(), key, opts, raw)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(raw, cached); diff != "" {
			t.Fatalf("after %d operations: list of %s, -store +cache\n%s", n, key, diff)
		}
	}
}
