// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"os"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/features"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/cacher/consistency"
	"k8s.io/apiserver/pkg/storage/etcd3"
	storagetesting "k8s.io/apiserver/pkg/storage/testing"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-base/featuregate"
	featuregatetesting "k8s.io/component-base/featuregate/testing"

	safebeamstorage "safebeam.dev/safebeam/pkg/storage"
)

// processWide ends nothing: what TestMain sets holds for the process.
type processWide struct{}

func (processWide) Helper()        {}
func (processWide) Cleanup(func()) {}

func TestMain(m *testing.M) {
	safebeamstorage.AssumeProgress()
	if dir := os.Getenv(crashDir); dir != "" {
		fmt.Fprintln(os.Stderr, countUntilKilled(dir))
		os.Exit(1)
	}
	// A cache that disagrees with its store panics, and so does a watch that
	// cannot decode what is stored.
	consistency.PanicOnCacheInconsistency = true
	consistency.CheckPeriod = 500 * time.Millisecond
	etcd3.TestOnlySetFatalOnDecodeError(processWide{}, true)
	os.Exit(m.Run())
}

// entry is one function of the suite and what it wants.
type entry struct {
	name string
	run  func(t *testing.T, e *env)
	// raw and cached say which stores upstream runs it on.
	raw, cached bool
	settings    func() settings
	// gate is set to on while the entry runs. Gates are global, so such an
	// entry runs alone.
	gate featuregate.Feature
	on   bool
	// alone entries store what lives for a second, set a gate themselves, or give
	// the store seconds for what others at the same time could hold up.
	alone bool
	// breaksDecoding entries store what cannot be decoded, on purpose.
	breaksDecoding bool
}

// plain is an entry that needs a store and nothing else, raw and cached.
func plain(name string, run func(t *testing.T, e *env)) entry {
	return entry{name: name, run: run, raw: true, cached: true}
}

func (e entry) byItself() entry { e.alone = true; return e }

func rawOnly(name string, run func(t *testing.T, e *env)) entry {
	return entry{name: name, run: run, raw: true}
}

func cachedOnly(name string, run func(t *testing.T, e *env)) entry {
	return entry{name: name, run: run, cached: true}
}

func (e entry) with(s func() settings) entry { e.settings = s; return e }

func (e entry) gated(f featuregate.Feature, on bool) entry { e.gate, e.on = f, on; return e }

const unsafeDelete = features.AllowUnsafeMalformedObjectDeletion

// suite is k8s.io/apiserver/pkg/storage/testing, each function with the hooks
// that etcd3's and the cacher's own tests give it.
var suite = []entry{
	plain("Create", func(t *testing.T, e *env) {
		storagetesting.RunTestCreate(e.ctx, t, e.store, e.validateStored)
	}),
	plain("CreateWithTTL", func(t *testing.T, e *env) { storagetesting.RunTestCreateWithTTL(e.ctx, t, e.store) }).byItself(),
	plain("CreateWithKeyExist", func(t *testing.T, e *env) { storagetesting.RunTestCreateWithKeyExist(e.ctx, t, e.store) }),
	plain("Get", func(t *testing.T, e *env) { storagetesting.RunTestGet(e.ctx, t, e.store) }).byItself(),
	plain("KeySchema", func(t *testing.T, e *env) { storagetesting.RunTestKeySchema(e.ctx, t, e.store) }),

	plain("UnconditionalDelete", func(t *testing.T, e *env) { storagetesting.RunTestUnconditionalDelete(e.ctx, t, e.store) }),
	plain("ConditionalDelete", func(t *testing.T, e *env) { storagetesting.RunTestConditionalDelete(e.ctx, t, e.store) }),
	plain("DeleteWithSuggestion", func(t *testing.T, e *env) { storagetesting.RunTestDeleteWithSuggestion(e.ctx, t, e.store) }),
	plain("DeleteWithSuggestionAndConflict", func(t *testing.T, e *env) {
		storagetesting.RunTestDeleteWithSuggestionAndConflict(e.ctx, t, e.store)
	}),
	plain("DeleteWithSuggestionOfDeletedObject", func(t *testing.T, e *env) {
		storagetesting.RunTestDeleteWithSuggestionOfDeletedObject(e.ctx, t, e.store)
	}),
	plain("DeleteWithConflict", func(t *testing.T, e *env) { storagetesting.RunTestDeleteWithConflict(e.ctx, t, e.store) }),
	plain("ValidateDeletionWithSuggestion", func(t *testing.T, e *env) {
		storagetesting.RunTestValidateDeletionWithSuggestion(e.ctx, t, e.store)
	}),
	plain("ValidateDeletionWithOnlySuggestionValid", func(t *testing.T, e *env) {
		storagetesting.RunTestValidateDeletionWithOnlySuggestionValid(e.ctx, t, e.store)
	}),
	plain("PreconditionalDeleteWithSuggestion", func(t *testing.T, e *env) {
		storagetesting.RunTestPreconditionalDeleteWithSuggestion(e.ctx, t, e.store)
	}),
	plain("PreconditionalDeleteWithSuggestionPass", func(t *testing.T, e *env) {
		storagetesting.RunTestPreconditionalDeleteWithOnlySuggestionPass(e.ctx, t, e.store)
	}),
	deleteOfBrokenCodec("DeleteWithConflictAndMissingExpectedDecodeError", func(t *testing.T, e *env) {
		storagetesting.RunTestDeleteWithConflictAndMissingExpectedTransformOrDecodeError(e.ctx, t, e.store, e.codec.(*failingCodec).setFailing)
	}),
	deleteOfBrokenTransformer("DeleteWithConflictAndMissingExpectedTransformError", func(t *testing.T, e *env) {
		storagetesting.RunTestDeleteWithConflictAndMissingExpectedTransformOrDecodeError(e.ctx, t, e.store, e.transformer.get().(*failingTransformer).setFailing)
	}),
	deleteOfBrokenTransformer("DeleteExpectedTransformError", func(t *testing.T, e *env) {
		storagetesting.RunTestDeleteExpectedTransformOrDecodeError(e.ctx, t, e.store, e.transformer.get().(*failingTransformer).setFailing)
	}),
	deleteOfBrokenCodec("DeleteExpectedDecodeError", func(t *testing.T, e *env) {
		storagetesting.RunTestDeleteExpectedTransformOrDecodeError(e.ctx, t, e.store, e.codec.(*failingCodec).setFailing)
	}),
	plain("DeleteWithSuggestionAndMissingExpectedError", func(t *testing.T, e *env) {
		storagetesting.RunTestDeleteWithSuggestionAndMissingExpectedTransformOrDecodeError(e.ctx, t, e.store)
	}).gated(unsafeDelete, true),

	rawOnly("List", func(t *testing.T, e *env) {
		storagetesting.RunTestList(e.ctx, t, e.store, e.compactTo, false, e.lists)
	}),
	cachedList(true), cachedList(false),
	rawOnly("ConsistentList", func(t *testing.T, e *env) {
		storagetesting.RunTestConsistentList(e.ctx, t, e.store, e.bumpRevision, false, true, false)
	}),
	cachedConsistentList(true), cachedConsistentList(false),
	plain("GetListNonRecursive", func(t *testing.T, e *env) {
		storagetesting.RunTestGetListNonRecursive(e.ctx, t, e.bumpRevision, e.store)
	}),
	plain("GetListRecursivePrefix", func(t *testing.T, e *env) { storagetesting.RunTestGetListRecursivePrefix(e.ctx, t, e.store) }),
	rawOnly("GetListWithErrorAggregation", func(t *testing.T, e *env) {
		store := etcd3.NewStoreWithUnsafeCorruptObjectDeletion(e.raw, pods)
		storagetesting.RunTestGetListWithErrorAggregation(e.ctx, t, withTransformer{store, e}, corruptError(t))
	}).gated(unsafeDelete, true),
	rawOnly("GetListWithoutErrorAggregation", func(t *testing.T, e *env) {
		storagetesting.RunTestGetListWithoutErrorAggregation(e.ctx, t, withTransformer{e.raw, e}, corruptError(t))
	}).gated(unsafeDelete, false),
	plain("ListPaging", func(t *testing.T, e *env) { storagetesting.RunTestListPaging(e.ctx, t, e.store) }),
	plain("NamespaceScopedList", func(t *testing.T, e *env) { storagetesting.RunTestNamespaceScopedList(e.ctx, t, e.store) }).
		with(func() settings { return settings{indexed: true} }),
	rawOnly("ListContinuation", func(t *testing.T, e *env) {
		storagetesting.RunTestListContinuation(e.ctx, t, e.store, e.validateCalls)
	}),
	rawOnly("ListPaginationRareObject", func(t *testing.T, e *env) {
		storagetesting.RunTestListPaginationRareObject(e.ctx, t, e.store, e.validateCalls)
	}).gated(features.ListFromCacheSnapshot, false),
	rawOnly("ListContinuationWithFilter", func(t *testing.T, e *env) {
		storagetesting.RunTestListContinuationWithFilter(e.ctx, t, e.store, e.validateCalls)
	}),
	cachedOnly("ListContinuation", func(t *testing.T, e *env) {
		storagetesting.RunTestListContinuation(e.ctx, t, e.store, ignoreCalls)
	}),
	cachedOnly("ListPaginationRareObject", func(t *testing.T, e *env) {
		storagetesting.RunTestListPaginationRareObject(e.ctx, t, e.store, ignoreCalls)
	}),
	cachedOnly("ListContinuationWithFilter", func(t *testing.T, e *env) {
		storagetesting.RunTestListContinuationWithFilter(e.ctx, t, e.store, ignoreCalls)
	}),
	rawOnly("ListInconsistentContinuation", func(t *testing.T, e *env) {
		storagetesting.RunTestListInconsistentContinuation(e.ctx, t, e.store, e.compactTo)
	}),
	rawOnly("ListResourceVersionMatch", func(t *testing.T, e *env) {
		storagetesting.RunTestListResourceVersionMatch(e.ctx, t, withPrefixTransformer{e.store, e})
	}),
	plain("CompactRevision", func(t *testing.T, e *env) {
		storagetesting.RunTestCompactRevision(e.ctx, t, e.store, e.bumpRevision, e.compactTo)
	}).gated(features.ListFromCacheSnapshot, true),
	statsRaw(true), statsRaw(false), statsCached(true), statsCached(false),

	rawOnly("GuaranteedUpdate", func(t *testing.T, e *env) {
		storagetesting.RunTestGuaranteedUpdate(e.ctx, t, withPrefixTransformer{e.store, e}, e.validateStored)
	}),
	plain("GuaranteedUpdateWithTTL", func(t *testing.T, e *env) { storagetesting.RunTestGuaranteedUpdateWithTTL(e.ctx, t, e.store) }).byItself(),
	rawOnly("GuaranteedUpdateChecksStoredData", func(t *testing.T, e *env) {
		storagetesting.RunTestGuaranteedUpdateChecksStoredData(e.ctx, t, withPrefixTransformer{e.store, e})
	}),
	plain("GuaranteedUpdateWithConflict", func(t *testing.T, e *env) {
		storagetesting.RunTestGuaranteedUpdateWithConflict(e.ctx, t, e.store)
	}),
	plain("GuaranteedUpdateWithSuggestionAndConflict", func(t *testing.T, e *env) {
		storagetesting.RunTestGuaranteedUpdateWithSuggestionAndConflict(e.ctx, t, e.store)
	}),
	rawOnly("TransformationFailure", func(t *testing.T, e *env) {
		storagetesting.RunTestTransformationFailure(e.ctx, t, withPrefixTransformer{e.store, e})
	}),

	plain("Watch", func(t *testing.T, e *env) { storagetesting.RunTestWatch(e.ctx, t, e.store) }),
	plain("ClusterScopedWatch", func(t *testing.T, e *env) { storagetesting.RunTestClusterScopedWatch(e.ctx, t, e.store) }).
		with(func() settings { return settings{clusterScoped: true, indexed: true} }),
	plain("NamespaceScopedWatch", func(t *testing.T, e *env) { storagetesting.RunTestNamespaceScopedWatch(e.ctx, t, e.store) }).
		with(func() settings { return settings{indexed: true} }),
	plain("DeleteTriggerWatch", func(t *testing.T, e *env) { storagetesting.RunTestDeleteTriggerWatch(e.ctx, t, e.store) }),
	plain("WatchFromZero", func(t *testing.T, e *env) {
		storagetesting.RunTestWatchFromZero(e.ctx, t, e.store, e.compactAndRestart)
	}),
	plain("WatchFromNonZero", func(t *testing.T, e *env) { storagetesting.RunTestWatchFromNonZero(e.ctx, t, e.store) }),
	plain("DelayedWatchDelivery", func(t *testing.T, e *env) { storagetesting.RunTestDelayedWatchDelivery(e.ctx, t, e.store) }),
	rawOnly("WatchError", func(t *testing.T, e *env) {
		storagetesting.RunTestWatchError(e.ctx, t, withPrefixTransformer{e.store, e})
	}),
	rawOnly("WatchErrorIsBlockingFurtherEvents", func(t *testing.T, e *env) {
		storagetesting.RunWatchErrorIsBlockingFurtherEvents(e.ctx, t, withPrefixTransformer{e.store, e})
	}),
	rawOnly("WatchContextCancel", func(t *testing.T, e *env) { storagetesting.RunTestWatchContextCancel(e.ctx, t, e.store) }),
	plain("WatcherTimeout", func(t *testing.T, e *env) { storagetesting.RunTestWatcherTimeout(e.ctx, t, e.store) }),
	plain("WatchDeleteEventObjectHaveLatestRV", func(t *testing.T, e *env) {
		storagetesting.RunTestWatchDeleteEventObjectHaveLatestRV(e.ctx, t, e.store)
	}),
	plain("WatchInitializationSignal", func(t *testing.T, e *env) { storagetesting.RunTestWatchInitializationSignal(e.ctx, t, e.store) }).byItself(),
	rawOnly("WatchWithUnsafeDelete", func(t *testing.T, e *env) {
		storagetesting.RunTestWatchWithUnsafeDelete(e.ctx, t, withTransformer{e.raw, e}, corruptError(t))
	}).gated(unsafeDelete, true),
	rawOnly("ProgressNotify", func(t *testing.T, e *env) {
		storagetesting.RunOptionalTestProgressNotify(e.ctx, t, e.store, e.bumpRevision)
	}).with(everySecond),
	rawOnly("WatchDispatchBookmarkEvents", func(t *testing.T, e *env) {
		storagetesting.RunTestWatchDispatchBookmarkEvents(e.ctx, t, e.store, false)
	}).with(everySecond),
	cachedOnly("WatchDispatchBookmarkEvents", func(t *testing.T, e *env) {
		storagetesting.RunTestWatchDispatchBookmarkEvents(e.ctx, t, e.store, true)
	}).byItself(),
	cachedOnly("WatchBookmarksWithCorrectResourceVersion", func(t *testing.T, e *env) {
		storagetesting.RunTestOptionalWatchBookmarksWithCorrectResourceVersion(e.ctx, t, e.store)
	}).byItself(),
	plain("SendInitialEventsBackwardCompatibility", func(t *testing.T, e *env) {
		storagetesting.RunSendInitialEventsBackwardCompatibility(e.ctx, t, e.store)
	}),
	plain("WatchSemantics", func(t *testing.T, e *env) { storagetesting.RunWatchSemantics(e.ctx, t, newPatient(e.settled())) }).byItself(),
	rawOnly("WatchSemanticsWithoutConcurrentDecode", func(t *testing.T, e *env) {
		storagetesting.RunWatchSemantics(e.ctx, t, newPatient(e.store))
	}).gated(features.ConcurrentWatchObjectDecode, false),
	plain("WatchSemanticInitialEventsExtended", func(t *testing.T, e *env) {
		storagetesting.RunWatchSemanticInitialEventsExtended(e.ctx, t, e.settled())
	}).byItself(),
	plain("WatchListMatchSingle", func(t *testing.T, e *env) { storagetesting.RunWatchListMatchSingle(e.ctx, t, e.settled()) }).byItself(),
}

func everySecond() settings { return settings{progress: time.Second} }

func ignoreCalls(*testing.T, uint64, uint64) {}

func cachedList(snapshots bool) entry {
	return cachedOnly(fmt.Sprintf("List/ListFromCacheSnapshot=%t", snapshots), func(t *testing.T, e *env) {
		storagetesting.RunTestList(e.ctx, t, e.store, e.compactTo, true, e.lists)
	}).gated(features.ListFromCacheSnapshot, snapshots)
}

func cachedConsistentList(snapshots bool) entry {
	return cachedOnly(fmt.Sprintf("ConsistentList/ListFromCacheSnapshot=%t", snapshots), func(t *testing.T, e *env) {
		storagetesting.RunTestConsistentList(e.ctx, t, e.store, e.bumpRevision, true, true, snapshots)
	}).gated(features.ListFromCacheSnapshot, snapshots)
}

func statsRaw(sizes bool) entry {
	return rawOnly(fmt.Sprintf("Stats/SizeBasedListCostEstimate=%t", sizes), func(t *testing.T, e *env) {
		if sizes {
			if err := e.store.EnableResourceSizeEstimation(e.keys); err != nil {
				t.Fatal(err)
			}
			if err := e.store.EnableResourceSizeEstimation(e.keys); err == nil {
				t.Error("estimation was enabled twice")
			}
		}
		storagetesting.RunTestStats(e.ctx, t, e.store, e.codec, e.transformer, sizes)
	})
}

func statsCached(sizes bool) entry {
	return cachedOnly(fmt.Sprintf("Stats/SizeBasedListCostEstimate=%t", sizes), func(t *testing.T, e *env) {
		storagetesting.RunTestStats(e.ctx, t, e.store, e.codec, e.transformer, sizes)
	}).gated(features.SizeBasedListCostEstimate, sizes)
}

func deleteOfBrokenCodec(name string, run func(t *testing.T, e *env)) entry {
	e := plain(name, run).gated(unsafeDelete, true).with(func() settings { return settings{codec: newFailingCodec()} })
	e.breaksDecoding = true
	return e
}

func deleteOfBrokenTransformer(name string, run func(t *testing.T, e *env)) entry {
	return plain(name, run).gated(unsafeDelete, true).with(func() settings {
		return settings{transformer: &failingTransformer{
			Transformer: storagetesting.NewPrefixTransformer([]byte(storedPrefix), false),
			err:         errFlipped,
		}}
	})
}

var _ storage.Interface = (*restartableCache)(nil)

func runSuite(t *testing.T, s subject, cached bool) {
	for _, entry := range suite {
		if cached && !entry.cached || !cached && !entry.raw {
			continue
		}
		t.Run(entry.name, func(t *testing.T) {
			switch {
			case entry.gate != "":
				featuregatetesting.SetFeatureGateDuringTest(t, utilfeature.DefaultFeatureGate, entry.gate, entry.on)
			case entry.breaksDecoding, entry.alone:
			default:
				t.Parallel()
			}
			var set settings
			if entry.settings != nil {
				set = entry.settings()
			}
			if entry.breaksDecoding {
				etcd3.TestOnlySetFatalOnDecodeError(t, false)
				// Before decoding errors are fatal again, and after the env has ended.
				t.Cleanup(func() {
					set.codec.(*failingCodec).setFailing(false)
					awaitDecoders(t)
				})
			}
			entry.run(t, newEnv(t, s, cached, set))
		})
	}
}

func TestOurEngineRaw(t *testing.T)            { runSuite(t, ours, false) }
func TestOurEngineThroughCache(t *testing.T)   { runSuite(t, ours, true) }
func TestControlEtcdRaw(t *testing.T)          { runControl(t, false) }
func TestControlEtcdThroughCache(t *testing.T) { runControl(t, true) }

// runControl proves the table, which changes less often than the engine.
func runControl(t *testing.T, cached bool) {
	if testing.Short() {
		t.Skip("the control, which runs on etcd, is left out of short runs: run without -short")
	}
	runSuite(t, control, cached)
}
