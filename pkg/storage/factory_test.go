// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	k8sstorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/etcd3/testserver"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"

	tightbeamv1 "safebeam.dev/safebeam/apis/tightbeam/v1"
	"safebeam.dev/safebeam/pkg/journal"
	"safebeam.dev/safebeam/pkg/journal/journaltest"
	"safebeam.dev/safebeam/pkg/storage"
	"safebeam.dev/safebeam/pkg/storage/bbolt"
)

var (
	scheme = runtime.NewScheme()
	models = tightbeamv1.Resource("tightbeammodels")
)

func init() {
	if err := tightbeamv1.Install(scheme); err != nil {
		panic(err)
	}
}

// backend is where a test keeps its store: what it opened it can open again.
type backend struct {
	name    string
	options func(t *testing.T) *storage.Options
	// contents returns every byte that is stored.
	contents func(t *testing.T, o *storage.Options) []byte
}

var backends = []backend{
	{
		name: storage.BackendBBolt,
		options: func(t *testing.T) *storage.Options {
			o := storage.NewOptions()
			o.BBolt.DataDir = t.TempDir()
			return o
		},
		contents: func(t *testing.T, o *storage.Options) (all []byte) {
			err := filepath.WalkDir(o.BBolt.DataDir, func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				data, err := os.ReadFile(path)
				all = append(all, data...)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return all
		},
	},
	{
		name: storage.BackendETCD3,
		options: func(t *testing.T) *storage.Options {
			o := storage.NewOptions()
			o.Backend = storage.BackendETCD3
			o.Etcd.StorageConfig.Transport.ServerList = testserver.RunEtcd(t, nil).Endpoints()
			return o
		},
		contents: func(t *testing.T, o *storage.Options) (all []byte) {
			client, err := clientv3.New(clientv3.Config{Endpoints: o.Etcd.StorageConfig.Transport.ServerList})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close() //nolint:errcheck // the test is done with it
			answer, err := client.Get(t.Context(), "", clientv3.WithPrefix())
			if err != nil {
				t.Fatal(err)
			}
			for _, kv := range answer.Kvs {
				all = append(append(all, kv.Key...), kv.Value...)
			}
			return all
		},
	},
}

// onBoth runs a test on each engine.
func onBoth(t *testing.T, test func(t *testing.T, b backend, o *storage.Options)) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			o := b.options(t)
			if err := errors.Join(o.Validate()...); err != nil {
				t.Fatal(err)
			}
			test(t, b, o)
		})
	}
}

func open(t *testing.T, o *storage.Options) *storage.Factory {
	t.Helper()
	f, err := storage.Open(t.Context(), *o, storage.Config{
		Scheme: scheme, Versions: []schema.GroupVersion{tightbeamv1.SchemeGroupVersion}, APIServerID: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeFactory(t, f) })
	return f
}

func closeFactory(t *testing.T, f *storage.Factory) {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

const modelPrefix = "/tightbeam.dev/tightbeammodels"

// openModels returns the store of models as a registry gets it.
func openModels(t *testing.T, f *storage.Factory) (k8sstorage.Interface, factory.DestroyFunc) {
	t.Helper()
	return openResource(t, f, models)
}

func openResource(t *testing.T, f *storage.Factory, resource schema.GroupResource) (k8sstorage.Interface, factory.DestroyFunc) {
	t.Helper()
	options, err := f.GetRESTOptions(resource, &tightbeamv1.TightbeamModel{})
	if err != nil {
		t.Fatal(err)
	}
	store, destroy, err := options.Decorator(options.StorageConfig, options.ResourcePrefix+"/",
		func(o runtime.Object) (string, error) {
			return k8sstorage.NamespaceKeyFunc(options.ResourcePrefix+"/", o)
		},
		func() runtime.Object { return &tightbeamv1.TightbeamModel{} },
		func() runtime.Object { return &tightbeamv1.TightbeamModelList{} },
		func(o runtime.Object) (labels.Set, fields.Set, error) {
			m := o.(*tightbeamv1.TightbeamModel)
			return m.Labels, fields.Set{"metadata.name": m.Name}, nil
		}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		return store.ReadinessCheck() == nil, nil
	})
	if err != nil {
		t.Fatalf("the store did not get ready: %v", err)
	}
	return store, destroy
}

func model(name, description string) *tightbeamv1.TightbeamModel {
	return &tightbeamv1.TightbeamModel{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name},
		Spec:       tightbeamv1.TightbeamModelSpec{Provider: "echo", Model: "echo-1", Description: description},
	}
}

func create(t *testing.T, s k8sstorage.Interface, m *tightbeamv1.TightbeamModel) *tightbeamv1.TightbeamModel {
	t.Helper()
	out := &tightbeamv1.TightbeamModel{}
	if err := s.Create(t.Context(), modelPrefix+"/ns/"+m.Name, m, out, 0); err != nil {
		t.Fatal(err)
	}
	return out
}

func list(t *testing.T, s k8sstorage.Interface) *tightbeamv1.TightbeamModelList {
	t.Helper()
	out := &tightbeamv1.TightbeamModelList{}
	if err := s.GetList(t.Context(), modelPrefix+"/", k8sstorage.ListOptions{Predicate: k8sstorage.Everything, Recursive: true}, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestObjectsAndJournalOutliveTheFactory(t *testing.T) {
	onBoth(t, func(t *testing.T, _ backend, o *storage.Options) {
		f := open(t, o)
		store, _ := openModels(t, f)
		created := create(t, store, model("a", "first"))
		record := journal.Record{Owner: "turns/u/events", Number: 1, Data: []byte("hello")}
		if err := f.Journal().Append(t.Context(), record); err != nil {
			t.Fatal(err)
		}
		closeFactory(t, f)

		f = open(t, o)
		store, _ = openModels(t, f)
		if got := list(t, store); len(got.Items) != 1 || got.Items[0].UID != created.UID || got.Items[0].Spec.Description != "first" {
			t.Errorf("models after reopening: %v", got.Items)
		}
		got, err := f.Journal().Read(t.Context(), record.Owner, 0, 0)
		if err != nil || len(got) != 1 || !bytes.Equal(got[0].Data, record.Data) {
			t.Errorf("journal after reopening: %v, %v", got, err)
		}
	})
}

func TestAConsistentListDoesNotWaitForTheProgressTimer(t *testing.T) {
	onBoth(t, func(t *testing.T, _ backend, o *storage.Options) {
		f := open(t, o)
		store, _ := openModels(t, f)
		other, _ := openResource(t, f, tightbeamv1.Resource("others"))
		create(t, store, model("a", ""))
		list(t, store)
		// Each list follows a write of another resource, which leaves the
		// cache behind. The timer would add up to 100 ms to every one of
		// them, since each begins right after the one before; a slow machine
		// adds to some, or to most.
		var took []time.Duration
		for fast := 0; fast < 6; {
			i := len(took)
			if i == 200 {
				t.Fatalf("of %d lists %d took less than 40 ms: %v", i, fast, took)
			}
			m := model(fmt.Sprint(i), "")
			if err := other.Create(t.Context(), "/tightbeam.dev/others/ns/"+m.Name, m, nil, 0); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			list(t, store)
			took = append(took, time.Since(start))
			if took[i] < 40*time.Millisecond {
				fast++
			}
		}
		t.Logf("lists took %v", took)
	})
}

func TestUpdatesOfOneObjectAreAllApplied(t *testing.T) {
	onBoth(t, func(t *testing.T, _ backend, o *storage.Options) {
		store, _ := openModels(t, open(t, o))
		create(t, store, model("a", ""))
		const writers, each = 8, 25
		errs := make(chan error)
		for range writers {
			go func() {
				for range each {
					err := store.GuaranteedUpdate(context.Background(), modelPrefix+"/ns/a", &tightbeamv1.TightbeamModel{}, false, nil,
						k8sstorage.SimpleUpdate(func(o runtime.Object) (runtime.Object, error) {
							m := o.(*tightbeamv1.TightbeamModel)
							m.Generation++
							return m, nil
						}), nil)
					if err != nil {
						errs <- err
						return
					}
				}
				errs <- nil
			}()
		}
		for range writers {
			if err := <-errs; err != nil {
				t.Fatal(err)
			}
		}
		if got := list(t, store).Items[0].Generation; got != writers*each {
			t.Errorf("generation %d after %d updates", got, writers*each)
		}
	})
}

func TestADestroyedStoreMayBeDestroyedAgainAndLeavesOthersAlone(t *testing.T) {
	onBoth(t, func(t *testing.T, _ backend, o *storage.Options) {
		f := open(t, o)
		first, destroy := openModels(t, f)
		second, _ := openModels(t, f)
		create(t, first, model("a", ""))
		destroy()
		destroy()
		create(t, second, model("b", ""))
		if n := len(list(t, second).Items); n != 2 {
			t.Errorf("%d models", n)
		}
	})
}

func TestChecksPassWhileTheStoreIsOpen(t *testing.T) {
	onBoth(t, func(t *testing.T, _ backend, o *storage.Options) {
		f := open(t, o)
		for _, check := range append(f.HealthChecks(), f.ReadyzChecks()...) {
			// etcd's checks dial in the background.
			err := wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, 20*time.Second, true, func(context.Context) (bool, error) {
				return check.Check(nil) == nil, nil
			})
			if err != nil {
				t.Errorf("%s: %v", check.Name(), check.Check(nil))
			}
		}
	})
}

func TestReadinessEndsWithTheStore(t *testing.T) {
	b := backends[0]
	f := open(t, b.options(t))
	closeFactory(t, f)
	for _, check := range f.ReadyzChecks() {
		if check.Check(nil) == nil {
			t.Errorf("%s passes on a closed store", check.Name())
		}
	}
}

func TestASecondServerOnTheDirectoryIsRefused(t *testing.T) {
	o := backends[0].options(t)
	open(t, o)
	_, err := storage.Open(t.Context(), *o, storage.Config{Scheme: scheme})
	if !errors.Is(err, bbolt.ErrLocked) {
		t.Errorf("Open = %v; want ErrLocked", err)
	}
}

func TestAnEtcdThatDoesNotAnswerIsAnError(t *testing.T) {
	o := storage.NewOptions()
	o.Backend = storage.BackendETCD3
	o.Etcd.StorageConfig.Transport.ServerList = []string{"http://127.0.0.1:1"}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := storage.Open(ctx, *o, storage.Config{Scheme: scheme}); err == nil {
		t.Error("Open succeeded")
	}
}

func TestAGroupWithoutStoredVersionIsRefused(t *testing.T) {
	f := open(t, backends[0].options(t))
	if _, err := f.GetRESTOptions(schema.GroupResource{Group: "other.dev", Resource: "things"}, nil); err == nil {
		t.Error("GetRESTOptions succeeded")
	}
}

func TestAResourceCanDoWithoutWatchCache(t *testing.T) {
	o := backends[0].options(t)
	o.Etcd.WatchCacheSizes = []string{models.String() + "#0"}
	f := open(t, o)
	store, _ := openModels(t, f)
	if err := store.RequestWatchProgress(t.Context()); err != nil {
		t.Errorf("%T is not the store itself: %v", store, err)
	}
	create(t, store, model("a", ""))
	if n := len(list(t, store).Items); n != 1 {
		t.Errorf("%d models", n)
	}
}

func TestSealedJournalKeepsTheJournalsLaws(t *testing.T) {
	// An owner of the suite is sealed like its first element, whatever it is.
	resources := map[string]schema.GroupResource{}
	for _, plural := range []string{"a", "b", "c", "a b", "a!", "a-", "a.b", "a0", "aa", "a-x", "good", "large", "small", "many", "nobody", "turns"} {
		resources[plural] = tightbeamv1.Resource("turns")
	}
	dirs := map[journal.Journal]*storage.Options{}
	factories := map[journal.Journal]*storage.Factory{}
	start := func(t *testing.T, o *storage.Options) journal.Journal {
		f, err := storage.Open(t.Context(), *o, storage.Config{Scheme: scheme, Journals: resources, APIServerID: "test"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closeFactory(t, f) })
		j := f.Journal()
		mu.Lock()
		defer mu.Unlock()
		dirs[j], factories[j] = o, f
		return j
	}
	journaltest.Run(t, journaltest.Subject{
		Open: func(t *testing.T) journal.Journal {
			o := backends[0].options(t)
			o.Etcd.EncryptionProviderConfigFilepath = encryptionConfig(t, "*.*")
			return start(t, o)
		},
		Reopen: func(t *testing.T, j journal.Journal) journal.Journal {
			mu.Lock()
			o, f := dirs[j], factories[j]
			mu.Unlock()
			closeFactory(t, f)
			return start(t, o)
		},
	})
}
