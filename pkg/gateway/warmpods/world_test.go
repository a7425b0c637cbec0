// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package warmpods_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	apistorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/etcd3/testserver"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	v1 "safebeam.dev/safebeam/apis/llmsafespace/v1"
	"safebeam.dev/safebeam/pkg/apiserver"
	"safebeam.dev/safebeam/pkg/gateway/bindings"
	"safebeam.dev/safebeam/pkg/gateway/live"
	"safebeam.dev/safebeam/pkg/gateway/warmpods"
	"safebeam.dev/safebeam/pkg/gateway/warmpods/fit"
	"safebeam.dev/safebeam/pkg/registry/llmsafespace/profile"
	"safebeam.dev/safebeam/pkg/registry/llmsafespace/runtimeenvironment"
	"safebeam.dev/safebeam/pkg/registry/llmsafespace/sandbox"
	"safebeam.dev/safebeam/pkg/registry/llmsafespace/warmpod"
	"safebeam.dev/safebeam/pkg/storage"
)

const (
	namespace = "agent-sandboxes"
	poolSpace = "warm-pools"
	poolName  = "python"
	poolUID   = types.UID("pool")
)

var environment = &v1.RuntimeEnvironment{
	ObjectMeta: metav1.ObjectMeta{Name: "python"},
	Spec:       v1.RuntimeEnvironmentSpec{Image: "python", Language: "python", Version: "3.11"},
}

func warmPool() *v1.WarmPool {
	pool := &v1.WarmPool{
		ObjectMeta: metav1.ObjectMeta{Namespace: poolSpace, Name: poolName, UID: poolUID},
		Spec:       v1.WarmPoolSpec{Runtime: "python:3.11", AllowedNamespaces: []string{namespace}},
	}
	v1.SetObjectDefaults_WarmPool(pool)
	return pool
}

func newSandbox(name string) *v1.Sandbox {
	s := &v1.Sandbox{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: v1.SandboxSpec{Runtime: "python:3.11"}}
	v1.SetObjectDefaults_Sandbox(s)
	return s
}

// world is the create path of sandboxes on a real store. What sandboxds do is the
// test's to say.
type world struct {
	store     *storage.Factory
	bindings  *bindings.Store
	live      *live.Live
	shelf     *warmpods.Shelf
	objects   warmpods.Objects
	claimer   *warmpods.Claimer
	sandboxes *sandbox.Storages
	pods      *warmpod.REST

	// minSize is the pool's: with as many ready pods no claim is to be made up for.
	minSize int
	// configure stands for the sandboxds; nil: all do as they are told.
	configure func(pod types.UID) error
	// create stands before the store; nil: it does as it is told.
	create func(*v1.Sandbox) error

	mu         sync.Mutex
	configured map[types.UID][]types.UID
	asked      []types.NamespacedName
}

type fakeLive struct {
	*live.Live
	w *world
}

func (f fakeLive) Configure(_ context.Context, sandbox *v1.Sandbox, pod types.UID) error {
	if f.w.configure != nil {
		if err := f.w.configure(pod); err != nil {
			return err
		}
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	f.w.configured[pod] = append(f.w.configured[pod], sandbox.UID)
	return nil
}

// failing is a store that fails as it is told.
type failing struct {
	apistorage.Interface
	w *world
}

func (f failing) Create(ctx context.Context, key string, obj, out runtime.Object, ttl uint64) error {
	if f.w.create != nil {
		if err := f.w.create(obj.(*v1.Sandbox)); err != nil {
			return err
		}
	}
	return f.Interface.Create(ctx, key, obj, out, ttl)
}

func open(ctx context.Context, o *storage.Options) (*world, error) {
	store, err := storage.Open(ctx, *o, storage.Config{Scheme: apiserver.Scheme, Versions: apiserver.StoredVersions})
	if err != nil {
		return nil, err
	}
	w := &world{store: store, configured: map[types.UID][]types.UID{}}
	if err := w.build(ctx); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return w, nil
}

func (w *world) build(ctx context.Context) error {
	store := w.store
	raw, _, err := store.Raw(storage.RawConfig{
		Resource: bindings.Resource, Prefix: bindings.ResourcePrefix, Codec: bindings.Codec(),
		NewFunc:     func() runtime.Object { return &bindings.Record{} },
		NewListFunc: func() runtime.Object { return &bindings.RecordList{} },
	})
	if err != nil {
		return err
	}
	w.bindings = bindings.NewStore(raw, clock.RealClock{})
	w.live = live.New(live.Options{Bindings: w.bindings})
	if w.pods, _, err = warmpod.NewREST(warmpod.Config{Scheme: apiserver.Scheme}, store); err != nil {
		return err
	}
	w.shelf = warmpods.NewShelf(clock.RealClock{}, func(pool types.NamespacedName) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.asked = append(w.asked, pool)
	})
	w.objects = warmpods.NewObjects(w.pods.Store)
	w.claimer = warmpods.New(warmpods.Options{
		Shelf: w.shelf, Objects: w.objects, Bindings: w.bindings, Live: fakeLive{w.live, w}, Clock: clock.RealClock{},
		Metrics: warmpods.NewMetrics(w.shelf), Sandbox: w.sandbox,
	})
	environments, _, err := runtimeenvironment.NewREST(runtimeenvironment.Config{Scheme: apiserver.Scheme}, store)
	if err != nil {
		return err
	}
	profiles, err := profile.NewREST(profile.Config{Scheme: apiserver.Scheme}, store)
	if err != nil {
		return err
	}
	w.sandboxes, err = sandbox.NewStorages(sandbox.Config{
		Scheme: apiserver.Scheme, Environments: environments, Profiles: profiles,
		WrapStorage: func(inner apistorage.Interface, prefix string) apistorage.Interface {
			return w.claimer.Wrap(failing{w.live.Wrap(inner, prefix), w}, prefix)
		},
	}, store)
	if err != nil {
		return err
	}
	if err := errors.Join(w.bindings.Recover(ctx), w.live.Recover(ctx), w.claimer.Recover(ctx)); err != nil {
		return err
	}
	// A server is not ready before its watch caches are.
	for _, store := range []*registry.Store{w.pods.Store, w.sandboxes.Sandbox.Store} {
		for store.Storage.Storage.ReadinessCheck() != nil {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Millisecond):
			}
		}
	}
	for {
		_, err := environments.Create(request.WithNamespace(ctx, ""), environment.DeepCopy(), rest.ValidateAllObjectFunc, &metav1.CreateOptions{})
		switch {
		case err == nil:
			continue // until the watch cache, from which they are listed, has it
		case apierrors.IsAlreadyExists(err):
			list, err := environments.List(request.WithNamespace(ctx, ""), nil)
			if err == nil && len(list.(*v1.RuntimeEnvironmentList).Items) == 1 {
				return nil
			}
		default:
			return err
		}
	}
}

func (w *world) sandbox(ctx context.Context, namespace, name string) (*v1.Sandbox, error) {
	obj, err := w.sandboxes.Sandbox.Get(request.WithNamespace(ctx, namespace), name, &metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return obj.(*v1.Sandbox), nil
}

// newWorld is one that ends with the test.
func newWorld(t *testing.T, o *storage.Options) *world {
	t.Helper()
	w, err := open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.claimer.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		if err := w.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// addPods makes Ready pods, as a pool's loop and the gateway do together.
func (w *world) addPods(ctx context.Context, n int) error {
	template := fit.Design(warmPool(), environment, nil)
	for range n {
		name := poolName + "-" + uuid.NewString()[:13]
		obj, err := w.pods.Create(request.WithNamespace(ctx, poolSpace), &v1.WarmPod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: poolSpace},
			Spec:       v1.WarmPodSpec{PoolRef: v1.ObjectReference{Name: poolName}},
		}, rest.ValidateAllObjectFunc, &metav1.CreateOptions{})
		if err != nil {
			return err
		}
		pod := obj.(*v1.WarmPod)
		if err := w.bindings.Bind(ctx, bindings.Binding{
			PodUID: types.UID(uuid.NewString()), PodNamespace: poolSpace, PodName: name,
			Owner: bindings.Owner{Kind: bindings.WarmPod, Namespace: poolSpace, Name: name, UID: pod.UID},
		}); err != nil {
			return err
		}
		if _, err := w.objects.Update(ctx, pod, func(p *v1.WarmPod) error {
			template.Write(&p.Status)
			p.Status.Phase, p.Status.PoolUID = v1.WarmPodReady, poolUID
			p.Status.PodName, p.Status.PodNamespace = name, poolSpace
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// shelve puts every pod on the shelf that is Ready and its WarmPod's own.
func (w *world) shelve(ctx context.Context) (int, error) {
	pool := warmPool()
	w.shelf.SetPool(warmpods.Pool{
		NamespacedName: types.NamespacedName{Namespace: poolSpace, Name: poolName}, UID: poolUID,
		Template: fit.Design(pool, environment, nil), Runtime: pool.Spec.Runtime, SecurityLevel: pool.Spec.SecurityLevel,
		Allowed: pool.Spec.AllowedNamespaces, MinSize: w.minSize,
	})
	pods, err := w.objects.List(ctx)
	if err != nil {
		return 0, err
	}
	n := 0
	for i := range pods {
		binding, ok := w.bindings.ByOwner(pods[i].UID)
		if ok && pods[i].Status.Phase == v1.WarmPodReady && w.shelf.Put(warmpods.Pod{Object: &pods[i], PodUID: binding.PodUID}) {
			n++
		}
	}
	w.shelf.Known()
	return n, nil
}

func (w *world) ready(t *testing.T, n int) {
	t.Helper()
	if err := w.addPods(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if _, err := w.shelve(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (w *world) post(ctx context.Context, sandbox *v1.Sandbox, options ...func(*metav1.CreateOptions)) (*v1.Sandbox, error) {
	create := &metav1.CreateOptions{}
	for _, f := range options {
		f(create)
	}
	ctx = request.WithUser(request.WithNamespace(ctx, sandbox.Namespace), &user.DefaultInfo{Name: "somebody"})
	obj, err := w.sandboxes.Sandbox.Create(ctx, sandbox, rest.ValidateAllObjectFunc, create)
	if err != nil {
		return nil, err
	}
	return obj.(*v1.Sandbox), nil
}

// on runs a test on both engines.
func on(t *testing.T, test func(t *testing.T, o *storage.Options)) {
	t.Run(storage.BackendBBolt, func(t *testing.T) {
		t.Parallel()
		o := storage.NewOptions()
		o.BBolt.DataDir = t.TempDir()
		test(t, o)
	})
	t.Run(storage.BackendETCD3, func(t *testing.T) {
		t.Parallel()
		o := storage.NewOptions()
		o.Backend = storage.BackendETCD3
		o.Etcd.StorageConfig.Transport.ServerList = testserver.RunEtcd(t, nil).Endpoints()
		test(t, o)
	})
}

func bboltOptions(t *testing.T) *storage.Options {
	o := storage.NewOptions()
	o.BBolt.DataDir = t.TempDir()
	return o
}

// laws checks what must be true of a store that no claim is under way on. Every
// sandbox of acknowledged must be there, Running on the pod that it was told.
func (w *world) laws(ctx context.Context, acknowledged map[string]string) error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	list, err := w.sandboxes.Sandbox.List(request.WithNamespace(ctx, ""), nil)
	if err != nil {
		return err
	}
	sandboxes := map[types.UID]*v1.Sandbox{}
	byName := map[string]*v1.Sandbox{}
	owners := map[string]string{}
	for i := range list.(*v1.SandboxList).Items {
		s := &list.(*v1.SandboxList).Items[i]
		sandboxes[s.UID], byName[s.Name] = s, s
		if s.Status.Phase != v1.SandboxRunning {
			continue
		}
		if other := owners[s.Status.PodName]; other != "" {
			fail("pod %s is that of sandbox %s and of %s", s.Status.PodName, other, s.Name)
		}
		owners[s.Status.PodName] = s.Name
		if binding, ok := w.bindings.ByOwner(s.UID); !ok || binding.PodName != s.Status.PodName {
			fail("sandbox %s runs on pod %s and is bound to %q", s.Name, s.Status.PodName, binding.PodName)
		}
	}
	for name, pod := range acknowledged {
		if s := byName[name]; s == nil || s.Status.PodName != pod {
			fail("sandbox %s was acknowledged on pod %s, and is %+v", name, pod, s)
		}
	}
	pods, err := w.objects.List(ctx)
	if err != nil {
		return err
	}
	phases := map[string]v1.WarmPodPhase{}
	for i := range pods {
		p := &pods[i]
		phases[p.Name] = p.Status.Phase
		switch p.Status.Phase {
		case v1.WarmPodAssigned:
			if s := sandboxes[p.Status.AssignedToUID]; s == nil || s.Status.PodName != p.Status.PodName {
				fail("pod %s is Assigned to %s, which is not there", p.Name, p.Status.AssignedTo)
			}
		case v1.WarmPodReady:
			if binding, ok := w.bindings.ByOwner(p.UID); !ok || binding.PodName != p.Name {
				fail("pod %s is Ready and not its WarmPod's own", p.Name)
			}
		}
	}
	for pod, sandbox := range owners {
		if phases[pod] != v1.WarmPodAssigned {
			fail("sandbox %s runs on pod %s, which is %s", sandbox, pod, phases[pod])
		}
	}
	all, err := w.bindings.List(ctx)
	if err != nil {
		return err
	}
	for _, binding := range all {
		if binding.Owner.Kind == bindings.Sandbox && sandboxes[binding.Owner.UID] == nil {
			fail("pod %s is bound to sandbox %s, which is not there", binding.PodName, binding.Owner.Name)
		}
	}
	return errors.Join(errs...)
}

// The child of the test that kills it.
const childVariable = "SAFEBEAM_TEST_CLAIMS"

func TestMain(m *testing.M) {
	if arguments := os.Getenv(childVariable); arguments != "" {
		if err := child(arguments); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child creates sandboxes in parallel until it is killed, and says of each when
// it was acknowledged.
func child(arguments string) error {
	var backend, where, round string
	if _, err := fmt.Sscan(arguments, &backend, &where, &round); err != nil {
		return err
	}
	o := storage.NewOptions()
	if o.Backend = backend; backend == storage.BackendBBolt {
		o.BBolt.DataDir = where
	} else {
		o.Etcd.StorageConfig.Transport.ServerList = []string{where}
	}
	w, err := open(context.Background(), o)
	if err != nil {
		return err
	}
	if _, err := w.shelve(context.Background()); err != nil {
		return err
	}
	out := bufio.NewWriterSize(os.Stdout, 1) // a line is out before the next create
	var said sync.Mutex
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			for j := range 1000 {
				made, err := w.post(context.Background(), newSandbox(fmt.Sprintf("s-%s-%d-%d", round, i, j)))
				said.Lock()
				switch {
				case err != nil:
					fmt.Fprintln(out, "error", err)
				case made.Status.Phase == v1.SandboxRunning:
					fmt.Fprintln(out, "bound", made.Name, made.Status.PodName)
				default:
					fmt.Fprintln(out, "cold")
				}
				out.Flush()
				said.Unlock()
			}
		})
	}
	all.Wait()
	return nil
}

func quantity(s string) *resource.Quantity { return ptr.To(resource.MustParse(s)) }

func condition(s *v1.Sandbox) *metav1.Condition {
	i := slices.IndexFunc(s.Status.Conditions, func(c metav1.Condition) bool { return c.Type == v1.SandboxWarmPodBound })
	if i < 0 {
		return &metav1.Condition{}
	}
	return &s.Status.Conditions[i]
}

func eventually(t *testing.T, what string, is func() error) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := is()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
