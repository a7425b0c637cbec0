// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/apimachinery/pkg/api/apitesting"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/apis/example"
	examplev1 "k8s.io/apiserver/pkg/apis/example/v1"
	"k8s.io/apiserver/pkg/features"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/cacher"
	"k8s.io/apiserver/pkg/storage/etcd3"
	storagetesting "k8s.io/apiserver/pkg/storage/testing"
	"k8s.io/apiserver/pkg/storage/value"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	safebeamstorage "safebeam.dev/safebeam/pkg/storage"
)

var (
	scheme = runtime.NewScheme()
	codecs = serializer.NewCodecFactory(scheme)
	pods   = schema.GroupResource{Resource: "pods"}
)

const (
	podPrefix = "/pods/"
	// storedPrefix is what the suite's transformer puts before stored data.
	storedPrefix = "test!"
	// cachedPrefix is before the keys of cached stores. The suite knows it
	// from the requests that it expects to see.
	cachedPrefix = "/registry"
)

func init() {
	metav1.AddToGroupVersion(scheme, metav1.SchemeGroupVersion)
	utilruntime.Must(example.AddToScheme(scheme))
	utilruntime.Must(examplev1.AddToScheme(scheme))
}

func newPod() runtime.Object     { return &example.Pod{} }
func newPodList() runtime.Object { return &example.PodList{} }

// settings say how a test wants its store.
type settings struct {
	prefix string
	codec  runtime.Codec
	// transformer replaces the prefix transformer, which then is nil.
	transformer value.Transformer
	progress    time.Duration
	// clusterScoped keys have no namespace, as far as the cache knows.
	clusterScoped bool
	// indexed caches find pods by node and namespace.
	indexed bool
}

// env is one store, raw or cached, on one engine.
type env struct {
	*face
	ctx context.Context
	// store is under test; raw is it, or what is below its cache.
	store, raw storage.Interface
	// keyPrefix is what the store puts before keys.
	keyPrefix string
	codec     runtime.Codec
	// transformer is what raw uses, at any moment.
	transformer *switchedTransformer
	prefix      *storagetesting.PrefixTransformer
	cached      *restartableCache
	// open makes another store on the same engine.
	open func() storage.Interface
}

func newEnv(t testing.TB, s subject, cached bool, set settings) *env {
	if set.progress == 0 {
		set.progress = 5 * time.Second
	}
	return newEnvOn(t, s.open(t, set.progress), cached, set)
}

func newEnvOn(t testing.TB, f *face, cached bool, set settings) *env {
	e := &env{face: f, ctx: context.Background(), codec: set.codec}
	if e.codec == nil {
		e.codec = apitesting.TestCodec(codecs, examplev1.SchemeGroupVersion)
	}
	if set.transformer == nil {
		e.prefix = storagetesting.NewPrefixTransformer([]byte(storedPrefix), false)
		set.transformer = e.prefix
	}
	e.transformer = newSwitchedTransformer(set.transformer)

	e.open = func() storage.Interface {
		leases := etcd3.NewDefaultLeaseManagerConfig()
		// A reused lease would outlive the suite's objects of one second.
		leases.ReuseDurationSeconds = 1
		raw, err := etcd3.New(f.client, f.compactor, e.codec, newPod, newPodList, set.prefix, podPrefix, pods,
			e.transformer, leases, etcd3.NewDefaultDecoder(e.codec, storage.APIObjectVersioner{}), storage.APIObjectVersioner{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(raw.Close)
		return f.complete(raw, set.prefix)
	}
	if !cached {
		e.raw = e.open()
		e.store = e.raw
		return e
	}
	set.prefix, e.keyPrefix = cachedPrefix, cachedPrefix
	e.cached = newRestartableCache(t, e, set)
	e.store, e.raw = e.cached, e.cached.raw
	return e
}

// bumpRevision is the suite's IncreaseRVFunc.
func (e *env) bumpRevision(ctx context.Context, t *testing.T) int64 {
	return bump(ctx, t, e.client, "increaseRV")
}

// compactTo is the suite's Compaction.
func (e *env) compactTo(ctx context.Context, t *testing.T, resourceVersion string) {
	rev, err := strconv.ParseInt(resourceVersion, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	e.compact(ctx, t, rev)
	if e.cached != nil && utilfeature.DefaultFeatureGate.Enabled(features.ListFromCacheSnapshot) {
		e.cached.waitCompacted(t, rev)
	}
}

// compactAndRestart is compactTo for a test that expects the watch cache to
// have forgotten as well: a new server's cache has.
func (e *env) compactAndRestart(ctx context.Context, t *testing.T, resourceVersion string) {
	e.compactTo(ctx, t, resourceVersion)
	if e.cached != nil {
		e.cached.restart()
	}
}

// validateStored is the suite's KeyValidation: what the server assigns is not
// stored.
func (e *env) validateStored(ctx context.Context, t *testing.T, key string) {
	answer, err := e.client.KV.Get(ctx, e.keyPrefix+key)
	if err != nil || len(answer.Kvs) == 0 {
		t.Fatalf("nothing is stored at %s: %v", key, err)
	}
	decoded, err := runtime.Decode(e.codec, answer.Kvs[0].Value[len(storedPrefix):])
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	//lint:ignore SA1019 the store must not keep what nobody fills in any more
	if pod := decoded.(*example.Pod); pod.ResourceVersion != "" || pod.SelfLink != "" {
		t.Errorf("%s is stored with resource version %q or a self link", key, pod.ResourceVersion)
	}
}

// keys is the store's own list of keys, which sizes are estimated by.
func (e *env) keys(ctx context.Context) ([]string, error) {
	answer, err := e.client.KV.Get(ctx, podPrefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return nil, err
	}
	keys := make([]string, len(answer.Kvs))
	for i, kv := range answer.Kvs {
		keys[i] = string(kv.Key)
	}
	return keys, nil
}

// maxPage is what etcd3 lets its pages grow to.
const maxPage = 10000

// validateCalls is the suite's CallsValidation: pages double, so that few of
// many objects are found in few requests.
func (e *env) validateCalls(t *testing.T, pageSize, processed uint64) {
	if reads := e.prefix.GetReadsAndReset(); reads != processed {
		t.Errorf("%d objects were read, want %d", reads, processed)
	}
	want := uint64(1)
	if pageSize != 0 {
		for sum, limit := uint64(1), pageSize; sum < processed; want++ {
			limit = min(limit*2, maxPage)
			sum += limit
		}
	}
	if calls := e.calls(); calls != want {
		t.Fatalf("%d requests were made, want %d", calls, want)
	}
}

// errFlipped is what breaks in the suite's corrupt objects.
var errFlipped = errors.New("bits flipped")

// corruptError is etcd3's own error for an object that cannot be transformed.
// Its type has no name outside: it is taken from where it is made.
func corruptError(t testing.TB) error {
	broken := &failingTransformer{Transformer: storagetesting.NewPrefixTransformer(nil, false), err: errFlipped}
	broken.setFailing(true)
	_, _, err := etcd3.WithCorruptObjErrorHandlingTransformer(broken).TransformFromStorage(t.Context(), nil, nil)
	if err == nil {
		t.Fatal("the broken transformer did not fail")
	}
	return err
}

// failingTransformer fails to read on demand.
type failingTransformer struct {
	value.Transformer
	err  error
	fail atomic.Bool
}

func (f *failingTransformer) setFailing(fail bool) { f.fail.Store(fail) }

func (f *failingTransformer) TransformFromStorage(ctx context.Context, data []byte, dataCtx value.Context) ([]byte, bool, error) {
	if f.fail.Load() {
		return nil, false, f.err
	}
	return f.Transformer.TransformFromStorage(ctx, data, dataCtx)
}

// failingCodec fails to decode on demand.
type failingCodec struct {
	runtime.Codec
	fail atomic.Bool
}

func newFailingCodec() *failingCodec {
	return &failingCodec{Codec: apitesting.TestCodec(codecs, examplev1.SchemeGroupVersion)}
}

func (f *failingCodec) setFailing(fail bool) { f.fail.Store(fail) }

func (f *failingCodec) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	if f.fail.Load() {
		return nil, nil, errFlipped
	}
	return f.Codec.Decode(data, defaults, into)
}

// switchedTransformer is the transformer of a store that a test exchanges
// while the store runs.
type switchedTransformer struct {
	current atomic.Pointer[value.Transformer]
}

func newSwitchedTransformer(t value.Transformer) *switchedTransformer {
	s := &switchedTransformer{}
	s.current.Store(&t)
	return s
}

func (s *switchedTransformer) exchange(t value.Transformer) (restore func()) {
	old := s.current.Swap(&t)
	return func() { s.current.Store(old) }
}

func (s *switchedTransformer) get() value.Transformer { return *s.current.Load() }

func (s *switchedTransformer) TransformFromStorage(ctx context.Context, data []byte, dataCtx value.Context) ([]byte, bool, error) {
	return s.get().TransformFromStorage(ctx, data, dataCtx)
}

func (s *switchedTransformer) TransformToStorage(ctx context.Context, data []byte, dataCtx value.Context) ([]byte, error) {
	return s.get().TransformToStorage(ctx, data, dataCtx)
}

// withPrefixTransformer and withTransformer are the suite's interfaces for
// exchanging it.
type withPrefixTransformer struct {
	storage.Interface
	e *env
}

func (w withPrefixTransformer) UpdatePrefixTransformer(modify storagetesting.PrefixTransformerModifier) func() {
	changed := *w.e.prefix
	return w.e.transformer.exchange(modify(&changed))
}

type withTransformer struct {
	storage.Interface
	e *env
}

func (w withTransformer) UpdateTransformer(modify storagetesting.TransformerModifier) func() {
	return w.e.transformer.exchange(modify(w.e.transformer.get()))
}

// restartableCache is a watch cache on a store, and after a restart a new one.
type restartableCache struct {
	storage.Interface
	open func() (cached, raw storage.Interface, stop func())
	raw  storage.Interface
	stop func()
}

func newRestartableCache(t testing.TB, e *env, set settings) *restartableCache {
	keyFunc := func(o runtime.Object) (string, error) { return storage.NamespaceKeyFunc(podPrefix, o) }
	if set.clusterScoped {
		keyFunc = func(o runtime.Object) (string, error) { return storage.NoNamespaceKeyFunc(podPrefix, o) }
	}
	c := &restartableCache{open: func() (storage.Interface, storage.Interface, func()) {
		raw := e.open()
		config := cacher.Config{
			Storage:             raw,
			Versioner:           storage.APIObjectVersioner{},
			GroupResource:       pods,
			EventsHistoryWindow: cacher.DefaultEventFreshDuration,
			ResourcePrefix:      podPrefix,
			KeyFunc:             keyFunc,
			GetAttrsFunc:        podAttrs,
			NewFunc:             newPod,
			NewListFunc:         newPodList,
			Codec:               e.codec,
			Clock:               hastyClock{},
			Indexers:            &cache.Indexers{},
		}
		if set.indexed {
			config.IndexerFuncs, config.Indexers = podIndex()
		}
		cached, stop, err := safebeamstorage.NewCached(config)
		if err != nil {
			t.Fatal(err)
		}
		err = wait.PollUntilContextTimeout(context.Background(), time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
			return cached.ReadinessCheck() == nil, nil
		})
		if err != nil {
			t.Fatalf("the watch cache did not get ready: %v", err)
		}
		return cached, raw, stop
	}}
	c.Interface, c.raw, c.stop = c.open()
	t.Cleanup(func() { c.stop() })
	return c
}

func (c *restartableCache) restart() {
	c.stop()
	c.Interface, c.raw, c.stop = c.open()
}

func (c *restartableCache) waitCompacted(t testing.TB, rev int64) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		return c.CompactRevision() >= rev, nil
	})
	if err != nil {
		t.Fatalf("the watch cache did not observe the compaction of %d", rev)
	}
}

// hastyPoll is what the cache's 15 s between looks at the store's compaction
// become.
const hastyPoll = 25 * time.Millisecond

// hastyClock is the real clock but for that timer.
type hastyClock struct{ clock.RealClock }

func (c hastyClock) NewTimer(d time.Duration) clock.Timer {
	t := c.RealClock.NewTimer(hasten(d))
	return hastyTimer{t}
}

type hastyTimer struct{ clock.Timer }

func (t hastyTimer) Reset(d time.Duration) bool { return t.Timer.Reset(hasten(d)) }

func hasten(d time.Duration) time.Duration {
	if d == 15*time.Second {
		return hastyPoll
	}
	return d
}

func podAttrs(o runtime.Object) (labels.Set, fields.Set, error) {
	pod, ok := o.(*example.Pod)
	if !ok {
		return nil, nil, fmt.Errorf("%T is no pod", o)
	}
	return pod.Labels, fields.Set{
		"metadata.name":      pod.Name,
		"metadata.namespace": pod.Namespace,
		"spec.nodeName":      pod.Spec.NodeName,
		"spec.restartPolicy": string(pod.Spec.RestartPolicy),
		"status.phase":       string(pod.Status.Phase),
	}, nil
}

func podIndex() (storage.IndexerFuncs, *cache.Indexers) {
	return storage.IndexerFuncs{
			"spec.nodeName": func(o runtime.Object) string { return o.(*example.Pod).Spec.NodeName },
		}, &cache.Indexers{
			storage.FieldIndex("spec.nodeName"): func(o any) ([]string, error) {
				return []string{o.(*example.Pod).Spec.NodeName}, nil
			},
			storage.FieldIndex("metadata.namespace"): func(o any) ([]string, error) {
				return []string{o.(*example.Pod).Namespace}, nil
			},
		}
}

// settled is the store for tests that expect the watch cache to have what they
// have just created: it waits until it does.
func (e *env) settled() storage.Interface {
	if e.cached == nil {
		return e.store
	}
	return settledCreates{e.store}
}

type settledCreates struct{ storage.Interface }

func (s settledCreates) Create(ctx context.Context, key string, obj, out runtime.Object, ttl uint64) error {
	if err := s.Interface.Create(ctx, key, obj, out, ttl); err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, time.Millisecond, wait.ForeverTestTimeout, true, func(ctx context.Context) (bool, error) {
		cached := newPod()
		if err := s.Get(ctx, key, storage.GetOptions{ResourceVersion: "0"}, cached); err != nil {
			if storage.IsNotFound(err) {
				return false, nil
			}
			return false, err
		}
		return equality.Semantic.DeepEqual(cached, out), nil
	})
}
