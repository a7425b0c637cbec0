// Copyright 2026 The Safebeam Authors.
// SPDX-License-Identifier: Apache-2.0

// Package storage opens the store that everything durable lives in and hands
// out its faces: a RESTOptionsGetter for the API server's registries, raw
// storage.Interfaces for records that are no API objects, and the journal.
//
// Two engines stand behind it, chosen by --storage-backend: bbolt (embedded,
// one process, a directory) and etcd3 (a cluster of its own). Above the engine
// there is one code path, k8s.io/apiserver's own etcd3 store and watch cache,
// so that an object's semantics cannot depend on where it is kept.
//
// Laws:
//   - A Factory opens its engine once. Every face shares it, and Close closes
//     the faces before the engine.
//   - A consistent read never waits for the watch cache's progress timer: who
//     asks for the current resource version also asks for the bookmark that
//     brings the cache up to it.
//   - What --encryption-provider-config says of a resource holds for its
//     objects and for the journals that belong to it alike.
package storage
